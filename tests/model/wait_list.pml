/* The wait list and the sleeping flag, as in wait_list.hpp, wait_operation.hpp and wake_port.hpp: no wake-up is lost.
 *
 * N consumer processes with one coroutine each, PRODUCERS producers that put ITEMS items altogether. Each statement of
 * shared memory is one step; a section is one atomic step, as its transactions are. Killed processes: a producer may
 * die at any of its steps between the commit and the end of the wake (KILL), whereupon the clean-up does what its
 * intents say. Memory is sequentially consistent, which the barriers in the code make of these places.
 *
 * Checked: no end state but the one in which every item was taken ("invalid end states" are lost wake-ups).
 * Each of these must make it fail, which run.sh checks, so that the model is known to look at the right thing:
 *   -DNO_RECHECK_ITEM   a waiter that has enqueued does not look at the queue again
 *   -DNO_RECHECK_WOKEN  a loop that set `sleeping` does not look at `woken` again
 *   -DNO_BATON          a woken one that was served does not look whether there is more for others
 *   -DNO_REPAIR         nobody does what the dead producer owed
 */
#ifndef N
#define N 2
#endif
#ifndef ITEMS
#define ITEMS 3
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif

byte items;         /* in the queue */
byte taken;
byte produced;
byte waiting;       /* count of the list */
byte queue_of[N];   /* the list: consumers, first in first out */
byte on_their_way;
bool linked[N];     /* entry state: waiting */
bool woken_entry[N]; /* entry state: woken */
bool counted[N];    /* entry's on_its_way */
bool woken[N];      /* the bits in the process slot */
bool sleeping[N];
bool datagram[N];   /* the socket's level */
hidden byte i, k;   /* scratch inside atomic steps */

inline push_back(c) { queue_of[waiting] = c; waiting++; linked[c] = true }

inline push_front(c) {
  k = waiting;
  do
  :: k > 0 -> queue_of[k] = queue_of[k - 1]; k--
  :: else -> break
  od;
  queue_of[0] = c; waiting++; linked[c] = true; k = 0
}

/* Holding the section: the head is taken out, marked, counted if it sleeps, and its bit is set (by a repair if need be). */
inline pop_and_deliver(who, found) {
  found = false;
  if
  :: waiting > 0 ->
     found = true;
     who = queue_of[0];
     do
     :: i + 1 < waiting -> queue_of[i] = queue_of[i + 1]; i++
     :: else -> break
     od;
     i = 0;
     waiting--;
     linked[who] = false;
     woken_entry[who] = true;
     if
     :: sleeping[who] -> counted[who] = true; on_their_way++
     :: else -> skip
     fi
  :: else -> skip
  fi
}

/* sleeping is looked at after the bit is set; whoever changes it sends. */
inline ring(who) {
  atomic { if :: sleeping[who] -> sleeping[who] = false; won = true :: else -> skip fi }
  if :: won -> datagram[who] = true :: else -> skip fi
  won = false
}

inline wake(who, found) {
  atomic { pop_and_deliver(who, found) }
  if
  :: found -> woken[who] = true; ring(who)
  :: else -> skip
  fi;
  d_step { who = 0; found = false }  /* locals that matter no more would only multiply the states */
}

inline arrive(c) {
  if :: counted[c] -> counted[c] = false; on_their_way-- :: else -> skip fi
}

proctype producer() {
  bool won = false;
  byte who = 0;
  bool found = false;
  do
  :: atomic { produced < ITEMS -> produced++ };
     items++; /* the commit */
     if
     :: waiting > 0 && on_their_way == 0 ->
#ifdef KILL
        if
        :: true -> goto killed
        :: true
        fi;
#endif
        wake(who, found)
     :: else -> skip
     fi
  :: atomic { produced >= ITEMS -> break }
  od;
  goto done;
killed:
#ifndef NO_REPAIR
  /* The clean-up after it: its intent names the queue; one waiter is woken, whatever it had done. */
  wake(who, found);
#endif
  skip;
  /* another producer takes its place */
  do
  :: atomic { produced < ITEMS -> produced++ };
     items++;
     if
     :: waiting > 0 && on_their_way == 0 -> wake(who, found)
     :: else -> skip
     fi
  :: atomic { produced >= ITEMS -> break }
  od;
done: skip
}

proctype consumer(byte me) {
  bool won = false;
  byte who = 0;
  bool found = false;
  bool was_woken = false;
  bool got = false;
attempt:
  got = false;
  atomic { if :: items > 0 -> items--; taken++; got = true :: else -> skip fi };
  if :: got -> got = false; goto attempt :: else -> skip fi;
  atomic { push_back(me) };
again:
#ifndef NO_RECHECK_ITEM
  got = false;
  atomic { if :: items > 0 -> items--; taken++; got = true :: else -> skip fi };
  if
  :: got ->
     got = false; /* leave: if it was woken meanwhile, that wake was for somebody else */
     was_woken = false;
     atomic {
       if
       :: linked[me] ->
          do :: queue_of[i] != me -> i++ :: else -> break od;
          do :: i + 1 < waiting -> queue_of[i] = queue_of[i + 1]; i++ :: else -> break od;
          i = 0;
          waiting--; linked[me] = false;
       :: else -> was_woken = true; woken_entry[me] = false; arrive(me)
       fi
     };
     if :: was_woken -> was_woken = false; wake(who, found) :: else -> skip fi;
     goto attempt
  :: else -> skip
  fi;
#endif
loop: /* nothing is ready: about_to_sleep */
  sleeping[me] = true;
#ifndef NO_RECHECK_WOKEN
  if
  :: woken[me] -> sleeping[me] = false; goto look
  :: else -> skip
  fi;
#endif
end_asleep: /* a valid end: everything was taken, this one waits for more */
  datagram[me];
  datagram[me] = false;
  sleeping[me] = false;
look:
  atomic { if :: woken[me] -> woken[me] = false :: else -> goto loop fi };
  if :: !woken_entry[me] -> goto loop :: else -> skip fi;
  /* try again, from the ready queue */
  got = false;
  atomic { if :: items > 0 -> items--; taken++; got = true :: else -> skip fi };
  if
  :: got ->
     atomic { got = false; woken_entry[me] = false; arrive(me) };
#ifndef NO_BATON
     if
     :: items > 0 -> wake(who, found)
     :: else -> skip
     fi;
#endif
     /* the item is being worked on: it does not come for the next one soon */
#ifdef ONE_EACH
     goto end_finished;
#else
     goto attempt;
#endif
  :: else ->
     atomic { woken_entry[me] = false; arrive(me); push_front(me) };
     goto again
  fi;
end_finished: false
}

init {
  byte c = 0;
  atomic {
    run producer();
#if PRODUCERS > 1
    run producer();
#endif
    do :: c < N -> run consumer(c); c++ :: else -> break od
  }
  /* Reached whenever the others stand still: then everything must have been taken. */
  (timeout);
  assert(taken == ITEMS)
}
