/*
 * Outbox, mailbox and acknowledgement: what one device has written is shown by another once, in order, whatever fails in between.
 *
 * Stands for: client/outbox.ts, client/inbox.ts (#message, the GAP marker), client/session/link.ts (numbers, acknowledgement),
 * client/client.ts (#catchUp: the boot id), server/routing.ts, server/memory_mailbox.ts, server/receipts.ts, server/feed.ts. PROTOCOL.md
 * sections 7 and 10.
 *
 * The sender: writes a row → picks the first row that this boot of the relay has not accepted → seals it (state and row in one
 * transaction) → submits it → notes which boot accepted it → forgets the row on RECEIPT. The relay: queues in memory → answers; a full
 * mailbox is QUOTA to the sender. With COLLAPSE a commit that finds no place has what was queued give way to one marker (GAP); once the
 * receiver has acknowledged that, a RECEIPT says that there is room, and the row is submitted again. The receiver: stores → acknowledges.
 *
 * Abstractions: a message is its number, an envelope is a message and the epoch that it was sealed for, a boot id counts up. The epoch
 * moves on once, by somebody else's commit, which is not a delivery here: whoever meets a later epoch asks the relay's log and is there. A
 * receiver opens messages of RETAINED epochs before its own. A process that fails is up again at once; being away is being offline.
 * Whether the mailbox has room for a marker is not asked (it has places of its own). Nothing expires.
 *
 * Properties:
 *   assertions  a message is stored once, never before an earlier one unless a marker says that something is missing, and its row is
 *               forgotten only when it is stored, for good
 *   delivered   every run, however it is scheduled, ends with all that was written shown and the sender with nothing to submit
 *   forgets     every run ends with an empty outbox
 *
 * Bounds, changed by -D: MESSAGES, PLACES (of the mailbox), RELAY_CRASHES, SENDER_FAULTS, RECEIVER_FAULTS (lost connections and crashes
 * together), EPOCHS.
 *
 * Seeded bugs: BUG_ACK_BEFORE_STORE, BUG_FORGET_ON_ACCEPT, BUG_NO_DEDUP, BUG_NO_RESUBMIT, BUG_SEND_AHEAD, BUG_NOT_PERSISTED,
 * BUG_SILENT_DROP, BUG_SUBMIT_BEFORE_BOOT, BUG_PICK_SURVIVES_RECONNECT, BUG_ACCEPT_REVIVES_ROW, BUG_GAP_SYNCS_AHEAD,
 * BUG_RECEIPT_ONCE. Each is explained where it acts.
 */

#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef PLACES
#define PLACES 1
#endif
#ifndef RELAY_CRASHES
#define RELAY_CRASHES 1
#endif
#ifndef SENDER_FAULTS
#define SENDER_FAULTS 1
#endif
#ifndef RECEIVER_FAULTS
#define RECEIVER_FAULTS 1
#endif
#ifndef EPOCHS
#define EPOCHS 2
#endif
/* Epochs before the current one whose messages can still be opened: scaled down with the number of epochs. */
#define RETAINED 0

/* Behind the envelopes there may be one marker. */
#define QUEUE (PLACES + 1)
/* Nothing or a marker, else an envelope. */
#define NONE 0
#define MARKER(epoch) (100 + (epoch))
#define isMarker(item) ((item) >= 100)
#define envelopeOf(message, epoch) (1 + (message) * EPOCHS + (epoch))
#define messageOf(envelope) (((envelope) - 1) / EPOCHS)
#define epochOf(envelope) (((envelope) - 1) % EPOCHS)

mtype = { ACCEPTED, REFUSED, STALE, RECEIPT, ROOM };
mtype = { IDLE, PICKED, SEALED, SUBMITTED, PAUSED };

/* The sender's disk. */
byte written; /* messages so far */
bool row[MESSAGES];
bool forgotten[MESSAGES];
byte sealed[MESSAGES]; /* the envelope as sealed last */
byte accepted[MESSAGES]; /* the boot that accepted it */
byte knownBoot;
byte senderEpoch;
/* The sender's memory. */
bool senderOnline, senderReady;
mtype pump = IDLE;
byte picked, pickedFor; /* the message under way, and the boot that it is for */

/* The receiver's disk. */
bool shown[MESSAGES];
byte receiverEpoch;
/* The receiver's memory. */
bool receiverOnline;
bool missing; /* a marker was stored */
byte stored; /* deliveries at the front of the queue that are stored and still in it */
byte acknowledging; /* so many of them in an ACK on its way */
#ifdef BUG_ACK_BEFORE_STORE
byte unstored; /* acknowledged, to be stored now */
#endif

/* The relay's disk. */
byte groupEpoch;
/* The relay's memory. */
byte boot = 1;
byte queue[QUEUE];
byte length, envelopes;
bool marked;
byte submitted; /* an envelope in the sender's connection */
bool waiting[MESSAGES * EPOCHS + 1]; /* receipts for a sender that is away */
#ifdef COLLAPSE
byte gaveWay, room; /* an envelope that the marker stands for, and one that there is room for again while the sender is away */
#endif
chan toSender = [MESSAGES + 2] of { mtype, byte };

#ifdef BUG_NO_RESUBMIT
/* Accepted once is accepted, though the relay that did has forgotten. */
#define waits(message) (row[message] && accepted[message] == 0)
#else
#define waits(message) (row[message] && accepted[message] != knownBoot)
#endif
#if MESSAGES > 2
#define hasWork (waits(0) || waits(1) || waits(2))
#define allShown (shown[0] && shown[1] && shown[2])
#define allForgotten (!row[0] && !row[1] && !row[2])
#else
#define hasWork (waits(0) || waits(1))
#define allShown (shown[0] && shown[1])
#define allForgotten (!row[0] && !row[1])
#endif

inline senderLost() {
  senderOnline = false; senderReady = false; pump = IDLE; picked = 0; pickedFor = 0;
  do
#ifndef BUG_RECEIPT_ONCE
  /* The relay does not know what has arrived: what it sent lately it sends again. */
  :: toSender?[RECEIPT, _] -> toSender?_, i; waiting[i] = true
#ifdef COLLAPSE
  :: toSender?[ROOM, _] -> toSender?_, room
#endif
  :: nempty(toSender) && !toSender?[RECEIPT, _] && !toSender?[ROOM, _] -> toSender?_, _
#else
  :: nempty(toSender) -> toSender?_, _
#endif
  :: empty(toSender) -> break
  od;
  i = 0
}

inline receiverLost() {
  receiverOnline = false; stored = 0; acknowledging = 0;
#ifdef BUG_ACK_BEFORE_STORE
  unstored = 0
#endif
}

/* The first row that `boot` has not accepted, or MESSAGES. */
inline pick() {
  i = 0;
  do
  :: i < MESSAGES && !waits(i) -> i++
  :: else -> break
  od
}

inline gone(message) {
  if
  :: row[message] ->
    assert(shown[message]); /* the relay keeps nothing for good: who forgets too early loses */
    row[message] = false;
    forgotten[message] = true
  :: else
  fi
}

proctype sender() {
  byte i, envelope;
end:
  do
  :: atomic { written < MESSAGES -> row[written] = true; written++ }

  :: atomic {
      !senderOnline ->
      senderOnline = true;
      submitted = NONE;
      i = 1;
      do
      :: i <= MESSAGES * EPOCHS ->
        if
        :: waiting[i] -> waiting[i] = false; toSender!RECEIPT, i
        :: else
        fi;
        i++
      :: else -> break
      od;
#ifdef COLLAPSE
      if
      :: room != NONE -> toSender!ROOM, room; room = NONE
      :: else
      fi;
#endif
      i = 0
    }
  :: atomic { senderOnline && !senderReady -> knownBoot = boot; senderReady = true }

#ifdef BUG_SUBMIT_BEFORE_BOOT
  /* Goes on while the login is not done, by the boot id of the connection before. */
  :: atomic { pump == IDLE && senderOnline && hasWork ->
#else
  :: atomic { pump == IDLE && senderReady && hasWork ->
#endif
#ifdef BUG_SEND_AHEAD
      /* Any row will do: the one before it may not be accepted yet. */
      if
      :: waits(0) -> picked = 0
      :: waits(MESSAGES - 1) -> picked = MESSAGES - 1
      fi;
#else
      pick();
      picked = i;
      i = 0;
#endif
      pickedFor = knownBoot;
      pump = PICKED
    }
  :: atomic {
      pump == PICKED ->
      if
      :: !row[picked] -> pump = IDLE; picked = 0; pickedFor = 0 /* a receipt was quicker */
      :: row[picked] ->
        if
        :: sealed[picked] == NONE || epochOf(sealed[picked]) != senderEpoch ->
          sealed[picked] = envelopeOf(picked, senderEpoch)
        :: else
        fi;
        pump = SEALED
      fi
    }
  :: atomic { pump == SEALED && senderOnline && submitted == NONE -> submitted = sealed[picked]; pump = SUBMITTED }

  :: atomic {
      senderOnline && toSender?[ACCEPTED, _] ->
      toSender?_, envelope;
#ifdef BUG_ACCEPT_REVIVES_ROW
      /* Writes the row as it was when it was picked, though a receipt for an earlier copy may have come meanwhile. */
      row[picked] = true;
#endif
      assert(!(row[picked] && forgotten[picked]));
      if
      :: row[picked] -> accepted[picked] = pickedFor
      :: else
      fi;
#ifdef BUG_FORGET_ON_ACCEPT
      gone(picked);
#endif
      pump = IDLE; picked = 0; pickedFor = 0; envelope = 0
    }
  :: atomic { senderOnline && toSender?[REFUSED, _] -> toSender?_, _; pump = PAUSED; picked = 0; pickedFor = 0 }
  /* The pause ends by the clock; a try that would change nothing is left out. */
  :: atomic { pump == PAUSED && envelopes < PLACES -> pump = IDLE }
  :: atomic {
      senderOnline && toSender?[STALE, _] ->
      toSender?_, _; senderEpoch = groupEpoch; pump = IDLE; picked = 0; pickedFor = 0
    }
  :: atomic {
      senderReady && toSender?[RECEIPT, _] ->
      toSender?_, envelope;
      if
      :: sealed[messageOf(envelope)] == envelope -> gone(messageOf(envelope))
      :: else /* of a copy that was sealed before */
      fi;
      envelope = 0
    }
#ifdef COLLAPSE
  :: atomic {
      senderReady && toSender?[ROOM, _] ->
      toSender?_, envelope;
      if
      :: sealed[messageOf(envelope)] == envelope && row[messageOf(envelope)] -> accepted[messageOf(envelope)] = 0
      :: else
      fi;
      envelope = 0
    }
#endif
  od
}

inline answer(kind) {
  if
  :: senderOnline -> toSender!kind, 0
  :: else
  fi
}

inline append(item) {
  queue[length] = item;
  length++
}

/* One turn of the relay: routed and answered, or not at all. */
proctype routing() {
end:
  do
  :: atomic {
      submitted != NONE && nfull(toSender) ->
      if
      :: epochOf(submitted) != groupEpoch -> answer(STALE)
      :: epochOf(submitted) == groupEpoch && envelopes < PLACES ->
        append(submitted);
        envelopes++;
        answer(ACCEPTED)
      :: epochOf(submitted) == groupEpoch && envelopes >= PLACES ->
#ifdef BUG_SILENT_DROP
        answer(ACCEPTED)
#else
        answer(REFUSED)
#endif
      fi;
      submitted = NONE
    }
  od
}

/* Takes what is acknowledged out of the queue, and tells the sender. */
proctype acknowledged() {
  byte item, i;
end:
  do
  :: atomic {
      acknowledging > 0 && nfull(toSender) ->
      item = queue[0];
      i = 0;
      do
      :: i + 1 < QUEUE -> queue[i] = queue[i + 1]; i++
      :: else -> break
      od;
      queue[QUEUE - 1] = NONE;
      i = 0;
      length--;
      acknowledging--;
      stored--;
      if
      :: isMarker(item) ->
        marked = false;
#ifdef COLLAPSE
        if
        :: gaveWay != NONE && senderOnline -> toSender!ROOM, gaveWay; gaveWay = NONE
        :: gaveWay != NONE && !senderOnline -> room = gaveWay; gaveWay = NONE
        :: gaveWay == NONE
        fi
#endif
      :: else ->
        envelopes--;
        if
        :: senderOnline -> toSender!RECEIPT, item
        :: else -> waiting[item] = true
        fi
      fi;
      item = 0
    }
  od
}

inline store(item) {
  if
  :: isMarker(item) ->
    missing = true;
#ifdef BUG_GAP_SYNCS_AHEAD
    /* Asks the log for everything, though what waits behind the marker is from before. */
    receiverEpoch = groupEpoch
#else
    if
    :: item - 100 > receiverEpoch -> receiverEpoch = item - 100
    :: else
    fi
#endif
  :: else ->
    if
    :: epochOf(item) > receiverEpoch -> receiverEpoch = epochOf(item)
    :: else
    fi;
    if
    :: epochOf(item) + RETAINED < receiverEpoch /* cannot be opened any more: passed over */
#ifndef BUG_NO_DEDUP
    :: epochOf(item) + RETAINED >= receiverEpoch && shown[messageOf(item)] /* a repeat */
    :: epochOf(item) + RETAINED >= receiverEpoch && !shown[messageOf(item)] ->
#else
    :: epochOf(item) + RETAINED >= receiverEpoch ->
#endif
      assert(!shown[messageOf(item)]);
      assert(missing || messageOf(item) == 0 || shown[messageOf(item) - 1]);
      shown[messageOf(item)] = true
    fi
  fi
}

proctype receiver() {
end:
  do
  :: atomic { !receiverOnline -> receiverOnline = true }
#ifdef BUG_ACK_BEFORE_STORE
  :: atomic {
      receiverOnline && unstored == NONE && acknowledging == 0 && stored < length ->
      unstored = queue[stored];
      stored++;
      acknowledging = stored
    }
  :: atomic { unstored != NONE -> store(unstored); unstored = NONE }
#else
  :: atomic { receiverOnline && stored < length -> store(queue[stored]); stored++ }
  :: atomic { receiverOnline && acknowledging == 0 && stored > 0 -> acknowledging = stored }
#endif
  od
}

/* What goes wrong, and what goes on elsewhere. May stop at any time. */
proctype world() {
  byte i;
  byte crashes = RELAY_CRASHES, senderFaults = SENDER_FAULTS, receiverFaults = RECEIVER_FAULTS;
  do
  :: atomic {
      crashes > 0 ->
      crashes--;
      boot++;
      senderLost();
      receiverLost();
      submitted = NONE; length = 0; envelopes = 0; marked = false;
#ifdef COLLAPSE
      gaveWay = NONE; room = NONE;
#endif
      i = 0;
      do
      :: i < QUEUE -> queue[i] = NONE; i++
      :: else -> break
      od;
      i = 0;
      do
      :: i <= MESSAGES * EPOCHS -> waiting[i] = false; i++
      :: else -> break
      od;
      i = 0
    }
#ifdef BUG_PICK_SURVIVES_RECONNECT
  /* A row that was picked for one connection is submitted on the next one. */
  :: atomic {
      crashes > 0 && (pump == PICKED || pump == SEALED) ->
      crashes--;
      boot++;
      senderOnline = false; senderReady = false;
      receiverLost();
      submitted = NONE; length = 0; envelopes = 0; marked = false;
#ifdef COLLAPSE
      gaveWay = NONE; room = NONE;
#endif
      do
      :: nempty(toSender) -> toSender?_, _
      :: empty(toSender) -> break
      od;
      i = 0;
      do
      :: i < QUEUE -> queue[i] = NONE; i++
      :: else -> break
      od;
      i = 0
    }
#endif
  :: atomic {
      senderFaults > 0 && senderOnline ->
      senderFaults--;
#ifdef BUG_NOT_PERSISTED
      /* Sealed and submitted before the row is in the store: a crash leaves none. */
      if
      :: pump == SUBMITTED -> row[picked] = false
      :: else
      fi;
#endif
      senderLost()
    }
  :: atomic { receiverFaults > 0 && receiverOnline -> receiverFaults--; receiverLost() }
  :: atomic {
      groupEpoch + 1 < EPOCHS ->
      groupEpoch++;
#ifdef COLLAPSE
      /* The commit finds no place: what the group has in the queue and was not sent gives way to one marker. One place only. */
      if
      :: envelopes >= PLACES && !receiverOnline ->
        gaveWay = queue[0];
        length = 0;
        envelopes = 0;
        i = 0;
        do
        :: i < QUEUE -> queue[i] = NONE; i++
        :: else -> break
        od;
        i = 0;
        append(MARKER(groupEpoch));
        marked = true
      :: else
      fi
#endif
    }
  :: atomic { true -> crashes = 0; senderFaults = 0; receiverFaults = 0; break }
  od
}

init {
  atomic {
    run sender();
    run routing();
    run acknowledged();
    run receiver();
    run world()
  }
}

#define nothingToSubmit (written == MESSAGES && senderReady && pump == IDLE && !hasWork)

ltl delivered { <> [] (allShown && nothingToSubmit) }
ltl forgets { <> [] (written == MESSAGES && allForgotten) }
