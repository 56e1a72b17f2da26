/*
 * Epoch ordering: members race to commit, the relay lets one commit win each epoch, and either side may fail at any step.
 *
 * Stands for: server/commits.ts, server/group_directory.ts, server/session.ts (login, replaced connections), server/memory_mailbox.ts
 * (what is not acknowledged comes again, the gap flag), client/membership.ts (change, confirm), client/inbox.ts (applyCommit,
 * synchronize, settlePending), client/client.ts (#catchUp, #afterLogin). PROTOCOL.md sections 9 and 10.
 *
 * The relay: checks the epoch → writes (epoch, commit) to disk → answers → delivers to the others. A restart loses mailboxes, answers,
 * connections and requests; the log stays. A member: stores the pending commit → sends it → applies it once confirmed. A lost connection
 * and a crash look the same here: what is on disk (epoch, pending commit, boot id) stays, everything else is gone.
 *
 * Abstractions: a commit is a number that says its epoch, its member and its try. One group, and of any other group only that a delivery
 * may come and be acknowledged (OTHER). A process that fails is up again at once, being away is being offline. The log never ends. A sync
 * is two steps, reading the log and using what was read, because others go on in between. A member cannot process its own commit without
 * the pending state that it was made with, as in MLS. Adding, removing, `refuse` and `reset` are left out.
 *
 * Properties:
 *   assertions  no fork (what two members applied to an epoch is the same, and the same as in the log), no epoch that a member has heard
 *               of is lost by a restart, nobody meets an own commit without its pending state
 *   settles     every run, however it is scheduled, ends with everybody at the relay's epoch, nothing pending and nothing under way
 *
 * Bounds, changed by -D: MEMBERS, WANTS (changes that each member sets out to make, each tried until it is accepted or the connection is
 * lost), RELAY_CRASHES, FAULTS (lost connections and crashes of members together), OTHERS.
 *
 * Seeded bugs: BUG_ANSWER_BEFORE_DURABLE, BUG_APPLY_BEFORE_CONFIRM, BUG_LAST_WINS, BUG_NO_SETTLE, BUG_PENDING_NOT_STORED,
 * BUG_DROP_IN_FLIGHT, BUG_OLD_CONNECTION_LIVES, BUG_NO_SYNC_AFTER_RESTART, BUG_GAP_FORGOTTEN. Each is explained where it acts.
 */

#ifndef MEMBERS
#define MEMBERS 2
#endif
#ifndef WANTS
#define WANTS 1
#endif
#ifndef RELAY_CRASHES
#define RELAY_CRASHES 1
#endif
#ifndef FAULTS
#define FAULTS 1
#endif
#ifndef OTHERS
#define OTHERS 1
#endif

/* Every epoch is won by a commit, and every commit belongs to a want. */
#define EPOCHS (MEMBERS * WANTS)
/* A want is tried again only after another member's commit has won. */
#define TRIES (EPOCHS + 1)
#define commitOf(member, epoch, try) (1 + ((epoch) * MEMBERS + (member)) * TRIES + (try))
#define epochOf(commit) (((commit) - 1) / (MEMBERS * TRIES))
#define memberOf(commit) ((((commit) - 1) / TRIES) % MEMBERS)

/* What comes from the relay in stream order. */
mtype = { OK, CONFLICT, COMMIT, OTHER };
/* What a member asks the log for: the fate of its pending commit, everything, or what comes before the delivery it has. */
mtype = { NOTHING, SETTLE, ALL, BEFORE };
/* A member's own change. */
mtype = { IDLE, IN_FLIGHT, LOST };

/* The relay's disk. */
byte log[EPOCHS];
byte logged;

/* The relay's memory. */
byte relayEpoch;
byte boot = 1;
byte work; /* the commit that is written and not answered yet */
bool gap[MEMBERS];
byte request[MEMBERS]; /* a commit in the connection's receive buffer */
#ifdef BUG_OLD_CONNECTION_LIVES
byte oldRequest[MEMBERS]; /* the same of the connection before */
#endif
/* Answers go with the connection; deliveries are the mailbox, and stay until they are acknowledged. */
chan down[MEMBERS] = [EPOCHS + OTHERS + 2] of { mtype, byte };

typedef Member {
  /* Disk. */
  byte epoch;
  byte pending;
  byte boot = 1; /* the relay's boot up to which this member has asked the log */
  /* Memory. */
  bool online = true;
  bool ready = true; /* catching up is done: deliveries are handled */
  mtype goal = NOTHING;
  byte seen; /* 1 + the log's length as the relay answered, or 0 */
  byte asked; /* the pending commit as the sync was asked for */
  bool gapped; /* a sync is due once the backlog is handled */
  byte backlog;
  mtype change = IDLE;
  byte made; /* the commit of the change under way */
  bool sent;
  byte wants = WANTS;
  byte tries;
}
Member m[MEMBERS];

/* Seen from outside: what each member has applied to each epoch. */
byte applied[MEMBERS * EPOCHS];

inline forget(c) {
  m[c].online = false; m[c].ready = false; m[c].goal = NOTHING; m[c].seen = 0; m[c].asked = 0; m[c].gapped = false;
  m[c].backlog = 0; m[c].change = IDLE; m[c].made = 0; m[c].sent = false;
}

/* Moves member c on from its epoch by `commit`: the own pending one or somebody else's. */
inline apply(c, commit) {
  assert(epochOf(commit) == m[c].epoch);
  /* An own commit cannot be processed, only confirmed. */
  assert(memberOf(commit) != c || m[c].pending == commit);
  record(c, commit);
  m[c].pending = 0;
  m[c].epoch++;
}

inline record(c, commit) {
  assert(log[m[c].epoch] == 0 || log[m[c].epoch] == commit);
  applied[c * EPOCHS + m[c].epoch] = commit;
  i = 0;
  do
  :: i < MEMBERS ->
    assert(applied[i * EPOCHS + m[c].epoch] == 0 || applied[i * EPOCHS + m[c].epoch] == commit); /* no fork */
    i++
  :: else -> break
  od;
  i = 0
}

/* An own commit that the relay has not got is forgotten, unless it was made after the question or is still to be answered. */
inline dropPending(c) {
  if
#ifdef BUG_DROP_IN_FLIGHT
  :: m[c].asked != 0 && m[c].pending == m[c].asked -> m[c].pending = 0
#else
  :: m[c].asked != 0 && m[c].pending == m[c].asked && m[c].change != IN_FLIGHT -> m[c].pending = 0
#endif
  :: else
  fi
}

/* Whether the next delivery is a commit of the member's epoch or an earlier one; a later one waits for the sync that is under way. */
#define isHead(c, e) (log[e] != 0 && m[c].epoch >= e && down[c]?[COMMIT, eval(log[e])])
#if MEMBERS * WANTS > 3
#define isFollowed(c) (isHead(c, 0) || isHead(c, 1) || isHead(c, 2) || isHead(c, 3))
#elif MEMBERS * WANTS > 2
#define isFollowed(c) (isHead(c, 0) || isHead(c, 1) || isHead(c, 2))
#else
#define isFollowed(c) (isHead(c, 0) || isHead(c, 1))
#endif

inline answered(c) {
  m[c].goal = NOTHING; m[c].seen = 0; m[c].asked = 0
}

proctype member(byte c) {
  byte i, e, commit;
end:
  do
  /* Logs in. The relay ends the connection before it and reads nothing more from that. */
  :: atomic {
      !m[c].online && work == 0 ->
      m[c].online = true;
#ifdef BUG_OLD_CONNECTION_LIVES
      if
      :: request[c] != 0 -> oldRequest[c] = request[c]
      :: else
      fi;
#endif
      request[c] = 0;
      m[c].backlog = len(down[c]);
#ifdef BUG_GAP_FORGOTTEN
      /* Only the relay knows that something is missing, and whatever is acknowledged makes it forget. */
      m[c].gapped = gap[c];
#else
      m[c].gapped = gap[c] || m[c].boot != boot;
#endif
      if
#ifndef BUG_NO_SYNC_AFTER_RESTART
      :: m[c].boot != boot && m[c].backlog == 0 -> m[c].goal = ALL
#endif
#ifdef BUG_NO_SETTLE
      /* Takes for granted that a commit without an answer has not won. */
      :: else -> m[c].pending = 0
#else
      /* What waits is from before the pending commit was sent, and comes first. */
      :: else ->
        m[c].gapped = m[c].gapped || (m[c].pending != 0 && m[c].backlog > 0);
        m[c].goal = (m[c].pending != 0 && m[c].backlog == 0 -> SETTLE : NOTHING)
#endif
      fi;
#ifdef BUG_NO_SYNC_AFTER_RESTART
      m[c].gapped = false;
#endif
    }

  /* Has caught up. */
  :: atomic {
      m[c].online && !m[c].ready && m[c].goal == NOTHING ->
      m[c].ready = true;
#ifdef BUG_GAP_FORGOTTEN
      m[c].boot = boot;
#else
      if
      :: !m[c].gapped -> m[c].boot = boot
      :: else
      fi
#endif
    }

  /* What waited is handled: asks for what may be missing. What waits belongs to earlier epochs than what a sync would bring. */
  :: atomic { m[c].ready && m[c].gapped && m[c].backlog == 0 && m[c].goal == NOTHING -> m[c].goal = ALL }

  /* Sync: the relay reads its log ... */
  :: atomic {
      m[c].online && m[c].goal != NOTHING && m[c].seen == 0 && work == 0 ->
      m[c].seen = 1 + logged;
      m[c].asked = m[c].pending;
      gap[c] = false
    }
  /* ... and the member makes use of it, one commit a transaction. */
  :: atomic {
      m[c].seen != 0 && m[c].goal == SETTLE ->
      if
      :: m[c].seen - 1 > m[c].epoch && log[m[c].epoch] == m[c].pending && m[c].pending != 0 -> apply(c, m[c].pending)
      :: else -> dropPending(c)
      fi;
      answered(c)
    }
  :: atomic {
      m[c].seen != 0 && (m[c].goal == ALL || m[c].goal == BEFORE) ->
      if
      :: m[c].seen - 1 <= m[c].epoch ->
        dropPending(c);
        if
        :: m[c].goal == ALL && m[c].ready && m[c].gapped && m[c].backlog == 0 -> m[c].gapped = false; m[c].boot = boot
        :: else
        fi;
        answered(c)
      :: else ->
        commit = log[m[c].epoch];
        apply(c, commit);
        commit = 0;
        if
        :: m[c].goal == BEFORE && down[c]?[COMMIT, _] ->
          down[c]?<_, commit>;
          e = epochOf(commit);
          commit = 0;
          if
          :: m[c].epoch >= e -> answered(c)
          :: else
          fi;
          e = 0
        :: else
        fi;
        if
        :: m[c].seen - 1 == m[c].epoch -> m[c].seen = 0; m[c].asked = 0 /* asks again until there is nothing more */
        :: else
        fi
      fi
    }

  /* The next delivery: stored first, acknowledged in a step of its own. */
  :: atomic {
      m[c].ready && down[c]?[COMMIT, _] && m[c].goal != BEFORE && (m[c].goal == NOTHING || isFollowed(c)) ->
      down[c]?<_, commit>;
      e = epochOf(commit);
      if
      :: e > m[c].epoch && m[c].goal == NOTHING -> m[c].goal = BEFORE
      :: e == m[c].epoch -> apply(c, commit)
      :: e < m[c].epoch ->
        down[c]?_, _;
        gap[c] = false;
        m[c].backlog = (m[c].backlog > 0 -> m[c].backlog - 1 : 0)
      fi;
      commit = 0;
      e = 0
    }
  :: atomic {
      m[c].ready && down[c]?[OTHER, _] && m[c].goal != BEFORE ->
      down[c]?_, _;
      gap[c] = false;
      m[c].backlog = (m[c].backlog > 0 -> m[c].backlog - 1 : 0)
    }

  /* A change: the pending commit is stored, and only then sent. */
  :: atomic {
      m[c].online && m[c].pending == 0 &&
      ((m[c].change == IDLE && m[c].wants > 0) || (m[c].change == LOST && m[c].epoch > epochOf(m[c].made))) ->
      if
      :: m[c].change == IDLE -> m[c].wants--
      :: else
      fi;
      assert(m[c].tries < TRIES);
      m[c].made = commitOf(c, m[c].epoch, m[c].tries);
      m[c].tries++;
      m[c].pending = m[c].made;
      m[c].change = IN_FLIGHT
    }
  :: atomic {
      m[c].change == IN_FLIGHT && !m[c].sent && request[c] == 0 ->
      request[c] = m[c].made;
      m[c].sent = true;
#ifdef BUG_APPLY_BEFORE_CONFIRM
      if
      :: m[c].pending == m[c].made -> apply(c, m[c].made)
      :: else
      fi
#endif
    }
  :: atomic {
      m[c].online && down[c]?[OK, _] ->
      down[c]?_, commit;
      if
      :: m[c].pending == commit -> apply(c, commit)
      :: else
      fi;
      m[c].change = IDLE; m[c].made = 0; m[c].sent = false;
      commit = 0
    }
  :: atomic {
      m[c].online && down[c]?[CONFLICT, _] ->
      down[c]?_, _;
      m[c].pending = 0;
      m[c].change = LOST;
      m[c].sent = false
    }
  /* Whoever won was not delivered in time. */
  :: atomic { m[c].change == LOST && m[c].epoch <= epochOf(m[c].made) && m[c].goal == NOTHING -> m[c].goal = ALL }
  od
}

inline tell(commit) {
  d = 0;
  do
  :: d < MEMBERS ->
    if
    :: d != memberOf(commit) -> down[d]!COMMIT, commit
    :: d == memberOf(commit) && m[d].online && !old -> down[d]!OK, commit
    :: else
    fi;
    d++
  :: else -> break
  od;
  d = 0
}

inline write(commit) {
#ifndef BUG_LAST_WINS
  assert(log[epochOf(commit)] == 0);
#endif
  log[epochOf(commit)] = commit;
  logged = epochOf(commit) + 1
}

inline handle(commit) {
  if
#ifdef BUG_LAST_WINS
  /* Does not ask whether the epoch is over. */
  :: epochOf(commit) <= relayEpoch ->
#else
  :: epochOf(commit) == relayEpoch ->
#endif
    relayEpoch = epochOf(commit) + 1;
#ifdef BUG_ANSWER_BEFORE_DURABLE
    tell(commit);
#else
    write(commit);
#endif
    work = commit
  :: else ->
    if
    :: m[memberOf(commit)].online && !old -> down[memberOf(commit)]!CONFLICT, 0
    :: else
    fi;
    old = false
  fi
}

proctype relay() {
  byte d, commit;
  bool old;
end:
  do
  :: atomic {
      work == 0 && request[0] != 0 -> commit = request[0]; request[0] = 0; handle(commit); commit = 0
    }
  :: atomic {
      work == 0 && request[1] != 0 -> commit = request[1]; request[1] = 0; handle(commit); commit = 0
    }
#if MEMBERS > 2
  :: atomic {
      work == 0 && request[2] != 0 -> commit = request[2]; request[2] = 0; handle(commit); commit = 0
    }
#endif
#ifdef BUG_OLD_CONNECTION_LIVES
  /* A request of a connection that was replaced is carried out all the same, after the new connection's first. */
  :: atomic {
      work == 0 && oldRequest[0] != 0 -> commit = oldRequest[0]; oldRequest[0] = 0; old = true; handle(commit); commit = 0
    }
#endif
  :: atomic {
      work != 0 ->
#ifdef BUG_ANSWER_BEFORE_DURABLE
      write(work);
#else
      tell(work);
#endif
      work = 0;
      old = false
    }
  od
}

/* Answers are lost with the connection; what is not acknowledged comes again. */
inline disconnect(c) {
  forget(c);
  n = len(down[c]);
  do
  :: n > 0 ->
    down[c]?kind, commit;
    if
    :: kind == COMMIT || kind == OTHER -> down[c]!kind, commit
    :: else
    fi;
    n--
  :: else -> break
  od;
  kind = 0;
  commit = 0
}

inline restart() {
  boot++;
  work = 0;
  relayEpoch = logged;
  c = 0;
  do
  :: c < MEMBERS ->
    assert(m[c].epoch <= logged); /* what a member was told is never lost */
    forget(c);
    request[c] = 0;
#ifdef BUG_OLD_CONNECTION_LIVES
    oldRequest[c] = 0;
#endif
    gap[c] = true;
    do
    :: nempty(down[c]) -> down[c]?_, _
    :: empty(down[c]) -> break
    od;
    c++
  :: else -> break
  od;
  c = 0
}

/* What goes wrong, and what goes on elsewhere. May stop at any time. */
proctype world() {
  byte c, n, commit;
  mtype kind;
  byte crashes = RELAY_CRASHES, faults = FAULTS, others = OTHERS;
  do
  :: atomic { crashes > 0 -> crashes--; restart() }
  :: atomic {
      faults > 0 ->
      faults--;
      if
      :: m[0].online -> c = 0
      :: m[1].online -> c = 1
#if MEMBERS > 2
      :: m[2].online -> c = 2
#endif
      fi;
      disconnect(c);
#ifdef BUG_PENDING_NOT_STORED
      m[c].pending = 0;
#endif
      c = 0
    }
  /* One member is enough for what another group does: no member is like any other. */
  :: atomic { others > 0 -> others--; down[0]!OTHER, 0 }
  :: atomic { true -> crashes = 0; faults = 0; others = 0; break }
  od
}

init {
  atomic {
    run member(0);
    run member(1);
#if MEMBERS > 2
    run member(2);
#endif
    run relay();
    run world()
  }
}

#define settledMember(c) (m[c].ready && !m[c].gapped && m[c].goal == NOTHING && m[c].change == IDLE && m[c].wants == 0 && \
  m[c].pending == 0 && m[c].epoch == logged && len(down[c]) == 0 && request[c] == 0)
#if MEMBERS > 2
#define settled (work == 0 && settledMember(0) && settledMember(1) && settledMember(2))
#else
#define settled (work == 0 && settledMember(0) && settledMember(1))
#endif

ltl settles { <> [] settled }
