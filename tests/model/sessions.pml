/* Sessions of a cluster: beat, reap, adopt, take and done, as functions.lua has them. Two hosts, one reaper, ITEMS items.
   Time is abstract: at any moment the engine may find a session overdue, if the host has not beaten since it was last
   looked at; a host may be stopped between any two of its steps, and its requests may be carried out late.
   Checked: no item is on lease to two sessions; a settled item stays settled; an item is settled once; in the end every
   item is settled or can be taken.
   The safeguards that can be taken out: NO_ALIVE_CHECK (take and done ask whether the session lives), ADOPT_FIRST
   (a session is retired before its leases are moved). NO_OWNER_CHECK (done asks whose the lease is) alone must hold: while
   a session lives nobody takes its leases. */
#ifndef ITEMS
#define ITEMS 2
#endif
#define HOSTS 2
#define EPOCHS 3
#define NOBODY 0
#define FREE 0
#define LEASED 1
#define DONE 2

byte state[ITEMS + 1];
byte owner[ITEMS + 1];           /* epoch, NOBODY if not on lease */
byte settled[ITEMS + 1];         /* how often done was accepted */
bool live[EPOCHS + 2];
bool overdue[EPOCHS + 2];    /* not heard of for a lease */
byte last_epoch = 0;

#ifdef NO_ALIVE_CHECK
#define ALIVE(e) true
#else
#define ALIVE(e) live[e]
#endif
#ifdef NO_OWNER_CHECK
#define OURS(e, item) true
#else
#define OURS(e, item) (state[item] == LEASED && owner[item] == e)
#endif

inline take(e, got) {
  atomic {
    got = ITEMS;
    i = 0;
    do
    :: ALIVE(e) && i < ITEMS && state[i] == FREE -> state[i] = LEASED; owner[i] = e; got = i; break
    :: ALIVE(e) && i < ITEMS && state[i] != FREE -> i++
    :: else -> break
    od;
    i = 0
  }
}

inline done(e, item) {
  atomic {
    if
    :: ALIVE(e) && OURS(e, item) ->
         state[item] = DONE; owner[item] = NOBODY; settled[item]++;
         assert(settled[item] == 1)
    :: else
    fi
  }
}

/* A host: joins, takes, works, settles; a session that is over is begun anew. It may stop for good, as a killed one. */
proctype host(bool mortal) {
  byte epoch = NOBODY, item = ITEMS, i = 0;
  do
  :: atomic { epoch == NOBODY && last_epoch < EPOCHS ->
       last_epoch++; epoch = last_epoch; live[epoch] = true; overdue[epoch] = false }
  :: epoch == NOBODY && last_epoch == EPOCHS -> break          /* the model has no more epochs */
  :: epoch != NOBODY && item == ITEMS -> take(epoch, item)
  :: epoch != NOBODY && item < ITEMS ->
       done(epoch, item);
       item = ITEMS
  :: epoch != NOBODY && live[epoch] && overdue[epoch] -> atomic { if :: live[epoch] -> overdue[epoch] = false :: else fi }  /* a beat */
  :: epoch != NOBODY && !live[epoch] ->                         /* DEAD: all that was held is lost */
       d_step { epoch = NOBODY; item = ITEMS }
  :: mortal -> break
  :: epoch != NOBODY && state[0] == DONE && state[ITEMS - 1] == DONE && item == ITEMS -> break
  od
}

/* Any member, in its beat: the engine retires who is overdue and gives back what it had, some at a time. */
proctype reaper() {
  byte e = 1, i = 0;
  do
  :: e = 1;
     do
     :: e <= EPOCHS && live[e] && !overdue[e] -> overdue[e] = true; e++     /* time passes */
     :: e <= EPOCHS && live[e] && overdue[e] ->
#ifdef ADOPT_FIRST
          i = 0;
          do
          :: i < ITEMS -> atomic { if :: state[i] == LEASED && owner[i] == e -> state[i] = FREE; owner[i] = NOBODY :: else fi; i++ }
          :: else -> break
          od;
          live[e] = false;
#else
          atomic { if :: overdue[e] -> live[e] = false :: else fi };
          if
          :: !live[e] ->
               i = 0;
               do
               :: i < ITEMS -> atomic { if :: state[i] == LEASED && owner[i] == e -> state[i] = FREE; owner[i] = NOBODY :: else fi; i++ }
               :: else -> break
               od
          :: else
          fi;
#endif
          i = 0; e++
     :: e <= EPOCHS && !live[e] -> e++
     :: e > EPOCHS -> break
     od
  :: _nr_pr <= 2 -> break                                       /* all hosts have ended: a last look */
  od;
  /* who is left is overdue at last; nobody else runs any more */
  skip;
  atomic {
  e = 1;
  do
  :: e <= EPOCHS && live[e] ->
       live[e] = false;
       i = 0;
       do
       :: i < ITEMS -> if :: state[i] == LEASED && owner[i] == e -> state[i] = FREE; owner[i] = NOBODY :: else fi; i++
       :: else -> break
       od;
       e++
  :: e <= EPOCHS && !live[e] -> e++
  :: e > EPOCHS -> break
  od;
  };
  i = 0;
  do
  :: i < ITEMS -> assert(state[i] == DONE || state[i] == FREE); assert(settled[i] <= 1); assert(state[i] != FREE || settled[i] == 0); i++
  :: else -> break
  od
}

init { atomic { run reaper(); run host(true); run host(false) } }  /* the youngest ends first */
