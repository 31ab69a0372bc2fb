/* Who a process is, and the clean-up after it (lib/arena/process_table.cpp, death.cpp), checked exhaustively by spin.
 *
 * One slot of the table is used for one process after the other, as slots are: a stale process is one that was made
 * for an earlier generation. Parents are 1, the first process, and 2, its child, which may be killed at each of its steps and
 * which the first cleans up after. The slot's process holds something: `held`.
 *
 *   reserve   generation + 1, state reserved, parent: one transaction
 *   note_pid  compare-and-swap of (generation, pid)
 *   adopt     note_pid, then compare-and-swap reserved -> live
 *   clean up  state dead; give back what is held; free: one transaction. A kill between any two of them
 *   inherit   parent = who cleans up after the parent: one transaction
 *   revoke    of an orphan nobody knows a pid of: compare-and-swap of its pid to the next generation
 *
 * To hold: what a process holds is given back once, after its end, and never while it runs; a stale process never gets
 * a place of another; nothing is left in the end.
 * Without a safeguard it must fail: NO_GENERATION (adopt and on_death know the slot alone), NO_REVOKE (an orphan without a
 * pid is taken for one that will never run, without making it so), NO_INHERIT (who cleans up after a killed cleaner
 * leaves what it was at).
 */
#define FREE 0
#define RESERVED 1
#define LIVE 2
#define DEAD 3

byte state = FREE, generation = 0, parent = 0;
byte known_generation = 0, known_pid = 0;  /* one word */
byte held = 0;                       /* generation of the process that holds something; 0 nobody */
bool running[4] = false;             /* by generation: it has entered and not ended */
bool ended[4] = false;               /* by generation: it will not be made any more */
byte given_back[4] = 0;              /* by generation */
bool middle_dead = false;

/* One process that was made for generation g; it may come late. */
proctype member(byte g) {
  bool mine;
  if                                 /* it may be killed before it does anything */
  :: goto end
  :: skip
  fi;
#ifdef NO_GENERATION
  atomic { mine = true; known_pid = g }
#else
  atomic {
    mine = (known_generation == g);
    if :: mine -> known_pid = g :: else fi
  }
#endif
  if :: !mine -> goto end :: else fi;
  atomic {
#ifdef NO_GENERATION
    mine = (state == RESERVED);
#else
    mine = (state == RESERVED && generation == g);
#endif
    if
    :: mine ->
      state = LIVE;
      assert(generation == g);       /* never in a stranger's place */
      running[g] = true; held = g
    :: else
    fi
  }
  if :: !mine -> goto end :: else fi;
  if                                 /* uses it, and ends or is killed */
  :: assert(held == g); held = 0; given_back[g]++
  :: skip
  fi;
end:
  atomic { running[g] = false; ended[g] = true }
}

inline reserve(who) {
  atomic {
    assert(state == FREE);
    generation++; state = RESERVED; parent = who; known_generation = generation; known_pid = 0
  }
}

/* By `who`, for the process of generation g. `kill` may end it after any step. */
inline clean_up(who, g, killed) {
#ifdef NO_GENERATION
  if :: state == RESERVED || state == LIVE -> state = DEAD :: else fi;
#else
  atomic {
    if
    :: generation == g && parent == who && (state == RESERVED || state == LIVE) -> state = DEAD
    :: else
    fi
  }
#endif
  if :: who == 2 -> killed = true :: skip fi;
  if
  :: !killed && state == DEAD && parent == who ->
    atomic {
      if
      :: held != 0 -> assert(!running[held]); given_back[held]++; held = 0
      :: else
      fi
    }
    if :: who == 2 -> killed = true :: skip fi;
    if
    :: !killed -> atomic { state = FREE; parent = 0; known_generation = 0; known_pid = 0 }
    :: else
    fi
  :: else
  fi
}

/* A child of the first process, which has a child of its own and may be killed at each step. */
proctype middle() {
  bool killed = false;
  reserve(2);
  if :: goto dies :: skip fi;
  run member(1);     /* by its fork server; the reply need not have come */
  if :: goto dies :: skip fi;
  (ended[1]);                        /* reaped */
  clean_up(2, 1, killed);
dies:
  middle_dead = true
}

/* The first process: cleans up after the middle one, takes its children over, and uses the slot again. */
active proctype first() {
  bool killed = false;
  byte g = 1;
  bool known;
  run middle();
  (middle_dead);
#ifndef NO_INHERIT
  atomic { if :: state != FREE && parent == 2 -> parent = 1 :: else fi }
#endif
  if
  :: state != FREE && parent == 1 ->
    if
    :: state == DEAD -> skip         /* its clean-up was interrupted: it is gone */
    :: else ->
#ifdef NO_REVOKE
      known = (known_pid != 0);
#else
      atomic {
        known = !(known_generation == 1 && known_pid == 0);
        if :: !known -> known_generation = 2 :: else fi
      }
#endif
      if :: known -> (ended[1]) :: else fi   /* watched by its pid */
    fi;
    clean_up(1, 1, killed)
  :: else
  fi;
  clean_up(1, 1, killed);            /* a second report of the same end */
  if
  :: state == FREE ->
    reserve(1);
    g = generation;
    clean_up(1, 1, killed);          /* and a third, when the place is somebody else's */
    assert(state == RESERVED || state == LIVE);
    run member(g);
    (ended[g]);
    clean_up(1, g, killed)
  :: else
  fi;
  (_nr_pr == 1);
  assert(state == FREE && held == 0);
  assert(given_back[1] <= 1 && given_back[2] <= 1)
}
