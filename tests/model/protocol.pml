#ifndef MAXLEN
#define MAXLEN 3
#endif
#ifndef MAXEPOCH
#define MAXEPOCH 3
#endif

#define N 3
#define NONE 3

#define BACKUP 0
#define CANDIDATE 1
#define WON 2
#define PRIMARY 3

/* What a power failure leaves. */
byte promised[N], voted[N], length[N], durable[N];
byte log_[N * MAXLEN];
#ifdef NO_PERSIST_PROMISE
byte kept_promise[N];
#endif

/* What it does not. */
byte role[N], link[N], wants[N], source[N];
byte committed[N], acked[N * N];
bit counts[N * N];
bit lease[N];
byte heard[N];
byte interrupts[N];
bit offered[N];

/* Known to nobody: what the invariants speak of. */
byte history[MAXLEN], history_length;
byte primary_of[MAXEPOCH + 1];
byte highest_promise[N];

hidden byte k, x, e;
hidden byte one_primary_per_epoch, nothing_committed_is_lost, nothing_committed_is_cut, committed_logs_agree, reads_are_current,
            promises_only_grow;

#define Entry(i, at) log_[(i) * MAXLEN + (at) - 1]
#define Peer(i, d) (((i) + (d)) % N)
#define End(i) (length[i] == 0 -> 0 : Entry(i, length[i]) * 8 + length[i])
#define Serving(i) (role[i] == PRIMARY && committed[i] > 0)
#ifdef NO_LEASES
#define LeaseRuns(i) false
#define LeaseHeld(i) false
#else
#define LeaseRuns(i) lease[i]
#define LeaseHeld(i) (!offered[i] && (counts[(i) * N + Peer(i, 1)] || counts[(i) * N + Peer(i, 2)]))
#endif
#define Highest(i) (promised[Peer(i, 1)] > promised[Peer(i, 2)] -> promised[Peer(i, 1)] : promised[Peer(i, 2)])
#ifdef INTERRUPT_ANY_LEASE
#define MayInterrupt(c, v) (interrupts[c] != 0)
#else
#define MayInterrupt(c, v) (interrupts[c] != 0 && interrupts[c] == promised[v])
#endif

#define Lacks(i, x) (history_length >= (x) && (length[i] < (x) || Entry(i, x) != history[(x) - 1]))
#if MAXLEN == 2
#define Misses(i) (Lacks(i, 1) || Lacks(i, 2))
#elif MAXLEN == 3
#define Misses(i) (Lacks(i, 1) || Lacks(i, 2) || Lacks(i, 3))
#else
#define Misses(i) (Lacks(i, 1) || Lacks(i, 2) || Lacks(i, 3) || Lacks(i, 4))
#endif

inline CloseLinksOf(gone) {
  if :: link[0] == gone -> link[0] = NONE :: else fi;
  if :: link[1] == gone -> link[1] = NONE :: else fi;
  if :: link[2] == gone -> link[2] = NONE :: else fi
}

inline Forget(fresh) {
  role[fresh] = BACKUP;
  committed[fresh] = 0;
  for (x : 0 .. N - 1) {
    acked[fresh * N + x] = 0;
    counts[fresh * N + x] = 0
  }
  offered[fresh] = 0;
  source[fresh] = NONE;
  wants[fresh] = 0
}

inline StepDown(deposed) {
  Forget(deposed);
  CloseLinksOf(deposed)
}

inline SetPromise(pool, its_epoch, its_vote) {
  promised[pool] = its_epoch;
  voted[pool] = its_vote;
#ifndef NO_PERSIST_PROMISE
  highest_promise[pool] = its_epoch;
#endif
}

inline Cut(cutter, last_kept) {
  for (x : 1 .. MAXLEN) {
    if
    :: x > last_kept && x <= length[cutter] ->
       nothing_committed_is_cut = !(x <= history_length && Entry(cutter, x) == history[x - 1]);
       assert(nothing_committed_is_cut);
       Entry(cutter, x) = 0
    :: else
    fi
  }
  if :: length[cutter] > last_kept -> length[cutter] = last_kept :: else fi;
  if :: durable[cutter] > last_kept -> durable[cutter] = last_kept :: else fi
}

inline Common(reader, writer) {
  k = 0;
  for (x : 1 .. MAXLEN) {
    if
    :: x <= length[reader] && x <= length[writer] && Entry(reader, x) == Entry(writer, x) -> k = x
    :: else
    fi
  }
}

inline GivePromise(voter, new_epoch, chosen) {
  SetPromise(voter, new_epoch, chosen);
#ifndef PROMISE_WITHOUT_DRAIN
  durable[voter] = length[voter];
#endif
#ifndef NO_REVOKE
  link[voter] = NONE;
#endif
  StepDown(voter)
}

inline Campaign(climber, sought) {
  GivePromise(climber, sought, climber);
  role[climber] = CANDIDATE
}

inline Won(winner, granter) {
  role[winner] = WON;
#ifdef TAKE_OWN_LOG
  wants[winner] = End(winner);
  source[winner] = NONE;
#else
  if
  :: End(granter) > End(winner) -> wants[winner] = End(granter); source[winner] = granter
  :: else -> wants[winner] = End(winner); source[winner] = NONE
  fi
#endif
}

inline Become(leader) {
  one_primary_per_epoch = primary_of[promised[leader]] == NONE;
  assert(one_primary_per_epoch);
  primary_of[promised[leader]] = leader;
  if
  :: promised[leader] > history[history_length - 1] ->
     nothing_committed_is_lost = !Misses(leader);
     assert(nothing_committed_is_lost)
  :: else /* Elected too late: it will commit nothing. */
  fi;
  link[leader] = NONE;
  Forget(leader);
  interrupts[leader] = 0;
  role[leader] = PRIMARY;
  length[leader]++;
  Entry(leader, length[leader]) = promised[leader]
}

inline Follow(follower, followed) {
  StepDown(follower);
  interrupts[follower] = 0;
  Common(follower, followed);
  Cut(follower, k);
#ifndef FOLLOW_WITHOUT_DRAIN
  durable[follower] = length[follower];
#endif
#ifdef KEEP_OWN_VOTE
  if :: promised[followed] > promised[follower] -> SetPromise(follower, promised[followed], followed) :: else fi;
#else
  SetPromise(follower, promised[followed], followed);
#endif
  link[follower] = followed;
#ifndef NO_LEASES
  lease[follower] = 1;
  heard[follower] = followed;
#endif
  acked[followed * N + follower] = length[follower]
}

inline Agree(copy, original) {
  committed_logs_agree = true;
  for (x : 1 .. MAXLEN) {
    if
    :: x <= length[copy] && x <= committed[original] && Entry(copy, x) != Entry(original, x) -> committed_logs_agree = false
    :: else
    fi
  }
  assert(committed_logs_agree)
}

inline Land(receiver, sender) {
  length[receiver]++;
  Entry(receiver, length[receiver]) = Entry(sender, length[receiver]);
  Agree(receiver, sender)
}

#define Has(i, j) acked[(i) * N + (j)]
#define More(copy, i) (copy > committed[i] -> 1 : 0)
#define MajorityHasMore(i) \
  (More(durable[i], i) + More(Has(i, Peer(i, 1)), i) + More(Has(i, Peer(i, 2)), i) >= 2)

inline Second(counter) {
  /* the middle one of three */
  k = durable[counter];
  x = acked[counter * N + Peer(counter, 1)];
  e = acked[counter * N + Peer(counter, 2)];
  if
  :: (k >= x && k <= e) || (k <= x && k >= e)
  :: else ->
     if
     :: (x >= k && x <= e) || (x <= k && x >= e) -> k = x
     :: else -> k = e
     fi
  fi
}

#ifdef COMMIT_OLD_EPOCH
#define OfThisEpoch(i, at) true
#else
#define OfThisEpoch(i, at) (Entry(i, at) == promised[i])
#endif

inline CheckLater(older, newer) {
  if
  :: role[newer] == PRIMARY && promised[newer] > promised[older] ->
     nothing_committed_is_lost = !Misses(newer);
     assert(nothing_committed_is_lost)
  :: else
  fi
}

inline Advance(committer) {
  Second(committer);
  if
  :: k > committed[committer] && OfThisEpoch(committer, k) ->
     committed[committer] = k;
     committed_logs_agree = true;
     for (x : 1 .. MAXLEN) {
       if
       :: x <= k && x <= history_length && history[x - 1] != Entry(committer, x) -> committed_logs_agree = false
       :: x <= k && x > history_length -> history[x - 1] = Entry(committer, x); history_length = x
       :: else
       fi
     }
     assert(committed_logs_agree);
     CheckLater(committer, Peer(committer, 1));
     CheckLater(committer, Peer(committer, 2));
#ifdef REACH
     nothing_committed_is_lost = promised[committer] < MAXEPOCH;
     assert(nothing_committed_is_lost)
#endif
  :: else
  fi
}

inline Crash(failed, survives) {
  for (x : 1 .. MAXLEN) {
    if :: x > survives && x <= length[failed] -> Entry(failed, x) = 0 :: else fi
  }
  length[failed] = survives;
  durable[failed] = survives;
  link[failed] = NONE;
  StepDown(failed);
  interrupts[failed] = 0;
#ifdef NO_PERSIST_PROMISE
  promised[failed] = (length[failed] > 0 -> Entry(failed, length[failed]) : 0);
  voted[failed] = NONE;
#endif
#if !defined FORGET_LEASE && !defined NO_LEASES
  lease[failed] = 1;
  heard[failed] = voted[failed];
#else
  lease[failed] = 0;
  heard[failed] = NONE;
#endif
}

#define CanCampaign(i, epoch) \
  (epoch) <= MAXEPOCH && (epoch) > promised[i] && \
      ((epoch) == promised[i] + 1 || (epoch) <= Highest(i) + 1) && \
      (!LeaseRuns(i) || heard[i] == (i) || MayInterrupt(i, i))

#define Refuses(v, c) \
  ((LeaseRuns(v) && heard[v] != (c) && !MayInterrupt(c, v)) || \
   (Serving(v) && LeaseHeld(v) && !MayInterrupt(c, v)))

#define CanPromise(v, c) \
  voted[c] == (c) && promised[c] > promised[v] && !Refuses(v, c)

#ifdef IGNORE_EPOCH
#define Acceptable(i, p) true
#else
#define Acceptable(i, p) (promised[p] >= promised[i])
#endif
#define Sends(s, i) (link[i] == (s) && length[s] > length[i])

#ifdef READ_WITHOUT_LEASE
#define MayRead(i) Serving(i)
#else
#define MayRead(i) (Serving(i) && LeaseHeld(i))
#endif

#ifdef NO_LEASES
#define Interrupt(i, epoch) skip
#define Leases(i, j)
#else
#define Interrupt(i, epoch) interrupts[i] = epoch
#define Leases(i, j) \
  :: d_step { role[j] == PRIMARY && link[i] == j && !counts[(j) * N + i] -> \
              printf("%d gives %d a lease\n", i, j); lease[i] = 1; heard[i] = j; counts[(j) * N + i] = 1; Agree(i, j) } \
  :: d_step { counts[i * N + (j)] -> printf("%d no longer counts on the lease of %d\n", i, j); counts[i * N + (j)] = 0 } \
  :: d_step { Serving(i) && link[j] == i && !offered[i] && interrupts[j] == 0 -> printf("%d offers %d to hand over\n", i, j); offered[i] = 1; interrupts[j] = promised[i] }
#endif

#define WithPeer(i, j) \
  :: d_step { CanPromise(i, j) && role[j] == CANDIDATE -> printf("%d promises %d its epoch %d, which hears it\n", i, j, promised[j]); GivePromise(i, promised[j], j); interrupts[i] = 0; Won(j, i) } \
  :: d_step { CanPromise(i, j) -> printf("%d promises %d its epoch %d, which does not hear it\n", i, j, promised[j]); GivePromise(i, promised[j], j); interrupts[i] = 0 } \
  :: d_step { role[j] == PRIMARY && Acceptable(i, j) -> printf("%d follows %d in epoch %d\n", i, j, promised[j]); Follow(i, j) } \
  :: d_step { role[j] == PRIMARY && promised[i] > promised[j] -> printf("%d meets %d and seeks a later epoch\n", j, i); StepDown(j); Interrupt(j, promised[j]) } \
  :: d_step { role[i] == WON && End(i) < wants[i] && source[i] == (j) && link[i] == NONE && promised[i] == promised[j] && \
                  voted[j] == i -> \
              printf("%d fetches from %d\n", i, j); Common(i, j); Cut(i, k); link[i] = j } \
  :: d_step { Sends(j, i) && (role[j] == PRIMARY || role[i] == WON && End(i) < wants[i]) -> printf("%d lands from %d\n", i, j); Land(i, j) } \
  :: d_step { role[j] == PRIMARY && link[i] == j && (durable[i] < length[i] || acked[(j) * N + i] < length[i]) -> \
              printf("%d acknowledges to %d\n", i, j); Persist(i); acked[(j) * N + i] = length[i] } \
  Leases(i, j)

#ifdef ACK_BEFORE_DRAIN
#define Persist(i) skip
#else
#define Persist(i) durable[i] = length[i]
#endif

proctype Node(byte me) {
  do
  WithPeer(me, Peer(me, 1))
  WithPeer(me, Peer(me, 2))
  :: d_step { CanCampaign(me, 2) -> printf("%d seeks epoch 2\n", me); Campaign(me, 2) }
#if MAXEPOCH > 2
  :: d_step { CanCampaign(me, 3) -> printf("%d seeks epoch 3\n", me); Campaign(me, 3) }
#endif
#if MAXEPOCH > 3
  :: d_step { CanCampaign(me, 4) -> printf("%d seeks epoch 4\n", me); Campaign(me, 4) }
#endif
  :: d_step { role[me] == WON && End(me) >= wants[me] && length[me] < MAXLEN -> printf("%d becomes primary of epoch %d\n", me, promised[me]); Become(me) }
  :: d_step { Serving(me) && length[me] < MAXLEN -> printf("%d writes\n", me); length[me]++; Entry(me, length[me]) = promised[me] }
  :: d_step { role[me] == PRIMARY && durable[me] < length[me] -> printf("%d drains\n", me); durable[me] = length[me] }
  :: d_step { role[me] == PRIMARY && MajorityHasMore(me) -> printf("%d counts\n", me); Advance(me) }
  :: d_step { lease[me] && !counts[me] && !counts[N + me] && !counts[2 * N + me] -> printf("the lease that %d gave ends\n", me); lease[me] = 0; heard[me] = NONE }
  :: d_step { MayRead(me) && Misses(me) -> printf("%d reads\n", me); reads_are_current = false; assert(reads_are_current) }
#ifdef RESUME_AFTER_OFFER
  :: d_step { offered[me] -> offered[me] = 0 }
#endif
  :: d_step { printf("%d crashes\n", me); Crash(me, durable[me]) }
#if MAXLEN > 1
  :: d_step { durable[me] < length[me] -> printf("%d crashes\n", me); Crash(me, durable[me] + 1) }
  :: d_step { durable[me] + 1 < length[me] -> printf("%d crashes\n", me); Crash(me, durable[me] + 2) }
#endif
  od
}

init {
  d_step {
    for (k : 0 .. N - 1) {
      promised[k] = 1;
      highest_promise[k] = 1;
      voted[k] = 0;
      length[k] = 1;
      durable[k] = 1;
      Entry(k, 1) = 1;
      link[k] = 0;
      source[k] = NONE;
      heard[k] = NONE
    }
    link[0] = NONE;
    role[0] = PRIMARY;
    committed[0] = 1;
    acked[1] = 1;
    acked[2] = 1;
    history[0] = 1;
    history_length = 1;
    for (k : 0 .. MAXEPOCH) { primary_of[k] = NONE }
    primary_of[1] = 0
  }
  atomic { run Node(0); run Node(1); run Node(2) }
}
