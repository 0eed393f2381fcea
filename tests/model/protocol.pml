/* How FaHA elects and replicates, for spin: three nodes, every order of steps, every loss of links and power at any moment.
 * tests/model/run checks it exhaustively within the bounds it lists, and that each mutation below breaks an invariant.
 *
 * A step here is what one node does to itself, together with the message that made it: a message that is late is a step
 * that comes later, for a link that breaks or a promise ends what was on its way.  Time is left out but for leases:
 * a lease that a backup gave ends at any moment after the primary no longer counts on it (the bound on clock drift).
 * A crash is a power failure and the restart: a node that is down is one that does nothing for a while.  Pre-vote
 * (Campaign::OnState) only withholds attempts: here a node may always try.  Cleaning and installing a log are left out.
 *
 * step -> what it stands for
 *   Seek          -> Node::StartCampaign Node::AskForPromises Campaign::OnOwnPromise
 *   GivePromise   -> Node::AnswerPromise Node::GivePromise Voter::Judge Pool::SetPromise Receiver::Stop Node::Absorb
 *   Win           -> Campaign::OnPromise
 *   Fetch         -> Node::FetchFromBest Node::Introduce Node::AnswerFollow Node::Admissible Node::CommonWith
 *   Become        -> Node::BecomePrimary Committer::Begin
 *   Follow        -> Node::AnswerFollow Node::CommonWith Node::Accept Log::CutAfter Committer::Admit Voter::Heard
 *   Land          -> Shipper::Pump Receiver::OnBatch Node::Land
 *   Acknowledge   -> Receiver::OnPollEnd Node::Persist Log::Drain Shipper::OnAck
 *   GiveLease     -> Receiver::OnHeartbeat Node::Heard Voter::Heard Shipper::SendHeartbeat
 *   Count         -> Node::Progress Committer::Advance
 *   Write         -> Node::EndUnit Log::Seal Node::Ship
 *   Read          -> Node::CheckRead Node::CheckServing Node::CountLease Committer::LeaseEnd
 *   ChangeMembers -> Node::AppendMembers Committer::Candidate Membership::Toward
 *   LosePool      -> Node::JoinCluster
 *   HandOver      -> Node::HandOver Node::HandOverOffered
 *   StepDown      -> Node::StepDown Committer::End
 *   Crash         -> Node::Start Log::Open
 */
#ifndef MAXLEN
#define MAXLEN 3
#endif
#ifndef MAXEPOCH
#define MAXEPOCH 3
#endif

#define NODES 3
#define NONE 3

/* Roles.  A candidate waits for promises, a winner for what it fetches. */
#define BACKUP 0
#define CANDIDATE 1
#define WINNER 2
#define PRIMARY 3

/* --- What a power failure leaves. */
byte promised[NODES], voted[NODES];
byte persisted[NODES]; /* the promise as the pool has it */
byte length[NODES], durable[NODES];
byte entries[NODES * MAXLEN]; /* a batch is its epoch and the members from there on: a primary seals one batch per LSN */

/* --- What it does not. */
byte role[NODES];
byte link[NODES];             /* whose batches land here */
byte source[NODES];           /* a winner's: where it fetches from */
byte wanted[NODES];           /* a winner's: the end of the best log */
byte committed[NODES];        /* a primary's; 0: it does not serve yet */
byte acked[NODES * NODES];    /* what primary i knows j to have made durable */
bit counts_on[NODES * NODES]; /* primary i counts on j's lease */
bit gave_lease[NODES];        /* it may run */
byte heard[NODES];            /* whose it is */
byte interrupts[NODES];       /* a candidate's: the epoch whose primary hands over to it; 0: none */
bit renounced[NODES];         /* a primary's: it offered to hand over */
bit new_pool;                 /* node 2 has lost its pool, and has a new id */

/* --- Known to no node. */
byte history[MAXLEN], history_length; /* what was committed, by anyone */
byte primary_of[MAXEPOCH + 1];

hidden byte k, x, y, z;
hidden byte one_primary_per_epoch, nothing_committed_is_lost, nothing_committed_is_cut, committed_logs_agree,
            reads_are_current, promises_only_grow, not_reached;

/* Members: all three, 0 and 1, or these and node 2 with its new pool. */
#define ALL 0
#define TWO 1
#define RENEWED 2
#ifdef JOIN
#define FIRST_MEMBERS TWO
#else
#define FIRST_MEMBERS ALL
#endif
#define Batch(epoch, members) ((epoch) * 4 + (members))
#define EpochOf(batch) ((batch) / 4)

#define Entry(i, at) entries[(i) * MAXLEN + (at) - 1]
#define Peer(i, d) (((i) + (d)) % NODES)
#define Last(i) (length[i] == 0 -> 0 : Entry(i, length[i]))
#define End(i) (Last(i) * 8 + length[i])
#define Members(i) (length[i] == 0 -> 0 : Entry(i, length[i]) % 4)
#define IsMember(members, j) ((j) != 2 || ((members) == ALL && !new_pool) || ((members) == RENEWED && new_pool))
#define Acked(i, j) (IsMember(Members(i), j) -> acked[(i) * NODES + (j)] : 0)
#define CountsOn(i, j) (counts_on[(i) * NODES + (j)] && IsMember(Members(i), j))

#define Serving(i) (role[i] == PRIMARY && committed[i] > 0)
#ifdef NO_LEASES
#define LeaseRuns(i) false
#define LeaseHeld(i) false
#else
#define LeaseRuns(i) gave_lease[i]
/* Of every set of members that occurs here two are a majority: itself and another. */
#define LeaseHeld(i) (!renounced[i] && (CountsOn(i, Peer(i, 1)) || CountsOn(i, Peer(i, 2))))
#endif

/* --- The invariants. */
#define Lacks(i, at) (history_length >= (at) && (length[i] < (at) || Entry(i, at) != history[(at) - 1]))
#if MAXLEN == 3
#define Misses(i) (Lacks(i, 1) || Lacks(i, 2) || Lacks(i, 3))
#else
#define Misses(i) (Lacks(i, 1) || Lacks(i, 2) || Lacks(i, 3) || Lacks(i, 4))
#endif

inline CheckHolds(holder) {
  nothing_committed_is_lost = !Misses(holder);
  assert(nothing_committed_is_lost)
}

inline CheckAgrees(copy, original) {
  committed_logs_agree = true;
  for (x : 1 .. MAXLEN) {
    committed_logs_agree = committed_logs_agree &&
                           (x > length[copy] || x > committed[original] || Entry(copy, x) == Entry(original, x))
  }
  assert(committed_logs_agree)
}

/* --- What a node does to itself. */
inline Forget(fresh) {
  role[fresh] = BACKUP;
  committed[fresh] = 0;
  for (x : 0 .. NODES - 1) {
    acked[fresh * NODES + x] = 0;
    counts_on[fresh * NODES + x] = 0
  }
  renounced[fresh] = 0;
  source[fresh] = NONE;
  wanted[fresh] = 0
}

inline StepDown(deposed) {
  Forget(deposed);
  for (x : 0 .. NODES - 1) {
    if
    :: link[x] == deposed -> link[x] = NONE
    :: else
    fi
  }
}

inline SetPromise(pool, its_epoch, its_vote) {
  promises_only_grow = its_epoch >= promised[pool];
  assert(promises_only_grow);
  promised[pool] = its_epoch;
  voted[pool] = its_vote;
  persisted[pool] = its_epoch
}

/* SetPromise drains, so that the end which is answered is that of a log which no power failure shortens. */
inline GivePromise(voter, new_epoch, chosen) {
#ifdef NO_PERSIST_PROMISE
  promised[voter] = new_epoch;
  voted[voter] = chosen;
#else
  SetPromise(voter, new_epoch, chosen);
#endif
#ifndef PROMISE_WITHOUT_DRAIN
  durable[voter] = length[voter];
#endif
#ifndef NO_REVOKE
  link[voter] = NONE;
#endif
  StepDown(voter)
}

inline Seek(seeker, sought) {
  GivePromise(seeker, sought, seeker);
  role[seeker] = CANDIDATE
}

/* The first promise makes two, a majority, if the members of the better log count both. */
inline Win(winner, granter) {
  wanted[winner] = End(winner);
  z = Members(winner);
#ifndef TAKE_OWN_LOG
  if
  :: End(granter) > End(winner) ->
     wanted[winner] = End(granter);
     source[winner] = granter;
     z = Members(granter)
  :: else
  fi;
#endif
  if
  :: IsMember(z, winner) && IsMember(z, granter) -> role[winner] = WINNER
  :: else ->
     wanted[winner] = 0;
     source[winner] = NONE
  fi
}

inline FindCommon(reader, writer) {
  k = 0;
  for (x : 1 .. MAXLEN) {
    if
    :: x <= length[reader] && x <= length[writer] && Entry(reader, x) == Entry(writer, x) -> k = x
    :: else
    fi
  }
}

inline CutAfter(cutter, last_kept) {
  for (x : 1 .. MAXLEN) {
    if
    :: x > last_kept && x <= length[cutter] ->
       nothing_committed_is_cut = x > history_length || Entry(cutter, x) != history[x - 1];
       assert(nothing_committed_is_cut);
       Entry(cutter, x) = 0
    :: else
    fi
  }
  length[cutter] = (length[cutter] > last_kept -> last_kept : length[cutter]);
  durable[cutter] = (durable[cutter] > last_kept -> last_kept : durable[cutter])
}

inline Fetch(fetcher, best) {
  FindCommon(fetcher, best);
  CutAfter(fetcher, k);
  link[fetcher] = best
}

inline Append(appender, batch) {
  k = batch;
  length[appender]++;
  Entry(appender, length[appender]) = k
}

/* One that was elected so late that a later epoch has committed will commit nothing itself. */
inline Become(leader) {
  one_primary_per_epoch = primary_of[promised[leader]] == NONE;
  assert(one_primary_per_epoch);
  primary_of[promised[leader]] = leader;
  if
  :: promised[leader] > EpochOf(history[history_length - 1]) -> CheckHolds(leader)
  :: else
  fi;
#ifdef REACH_FETCH
  not_reached = source[leader] == NONE;
  assert(not_reached);
#endif
  link[leader] = NONE;
  Forget(leader);
  interrupts[leader] = 0;
  role[leader] = PRIMARY;
  Append(leader, Batch(promised[leader], Members(leader)))
}

/* The primary counts what both logs hold as acknowledged, so it must be durable; the vote becomes the primary's, for
 * after a restart a node does not let its lease keep the one it voted for from trying. */
inline Follow(follower, followed) {
  StepDown(follower);
  interrupts[follower] = 0;
  FindCommon(follower, followed);
  CutAfter(follower, k);
#ifndef FOLLOW_WITHOUT_DRAIN
  durable[follower] = length[follower];
#endif
  if
  :: promised[followed] > promised[follower] -> SetPromise(follower, promised[followed], followed)
  :: else
  fi;
  link[follower] = followed;
#ifndef NO_LEASES
  gave_lease[follower] = 1;
  heard[follower] = followed;
#endif
  acked[followed * NODES + follower] = length[follower]
}

inline Land(receiver, sender) {
  length[receiver]++;
  Entry(receiver, length[receiver]) = Entry(sender, length[receiver]);
  CheckAgrees(receiver, sender)
}

inline Acknowledge(keeper, asker) {
#ifndef ACK_BEFORE_DRAIN
  durable[keeper] = length[keeper];
#endif
  acked[asker * NODES + keeper] = length[keeper]
}

inline GiveLease(giver, holder) {
  gave_lease[giver] = 1;
  heard[giver] = holder;
  counts_on[holder * NODES + giver] = 1;
  CheckAgrees(giver, holder)
}

/* The second highest of three: what a majority has. */
inline FindReached(counter) {
  k = durable[counter];
  x = Acked(counter, Peer(counter, 1));
  y = Acked(counter, Peer(counter, 2));
  k = (k > x -> (x > y -> x : (k > y -> y : k)) : (k > y -> k : (x > y -> y : x)))
}

#define More(copy, i) (copy > committed[i] -> 1 : 0)
#define MajorityHasMore(i) \
  (More(durable[i], i) + More(Acked(i, Peer(i, 1)), i) + More(Acked(i, Peer(i, 2)), i) >= 2)

#ifdef COMMIT_OLD_EPOCH
#define IsOfOwnTerm(i, at) true
#else
#define IsOfOwnTerm(i, at) (EpochOf(Entry(i, at)) == promised[i])
#endif

inline CheckLater(older, later) {
  if
  :: role[later] == PRIMARY && promised[later] > promised[older] -> CheckHolds(later)
  :: else
  fi
}

inline Count(counter_) {
  FindReached(counter_);
  if
  :: k > committed[counter_] && IsOfOwnTerm(counter_, k) ->
     committed[counter_] = k;
     for (x : 1 .. MAXLEN) {
       if
       :: x > k
       :: x <= k && x <= history_length ->
          committed_logs_agree = history[x - 1] == Entry(counter_, x);
          assert(committed_logs_agree)
       :: x <= k && x > history_length ->
          history[x - 1] = Entry(counter_, x);
          history_length = x
       fi
     }
     CheckLater(counter_, Peer(counter_, 1));
     CheckLater(counter_, Peer(counter_, 2));
#ifdef REACH_LAST_EPOCH
     not_reached = promised[counter_] < MAXEPOCH;
     assert(not_reached)
#endif
#ifdef REACH_MEMBER
     not_reached = Members(counter_) != RENEWED;
     assert(not_reached)
#endif
  :: else
  fi
}

inline Crash(failed, survives) {
  for (x : 1 .. MAXLEN) {
    Entry(failed, x) = (x > survives -> 0 : Entry(failed, x))
  }
  length[failed] = survives;
  durable[failed] = survives;
  link[failed] = NONE;
  StepDown(failed);
  interrupts[failed] = 0;
  promises_only_grow = persisted[failed] >= promised[failed];
#ifndef UNSEEN
  assert(promises_only_grow);
#endif
  voted[failed] = (promises_only_grow -> voted[failed] : NONE);
  promised[failed] = persisted[failed];
#if defined FORGET_LEASE || defined NO_LEASES
  gave_lease[failed] = 0;
  heard[failed] = NONE
#else
  gave_lease[failed] = 1;
#ifdef KEEP_OWN_VOTE
  heard[failed] = voted[failed]
#else
  heard[failed] = NONE
#endif
#endif
}

inline Write(author) {
  Append(author, Batch(promised[author], Members(author)))
}

inline ChangeMembers(changer, members) {
  Append(changer, Batch(promised[changer], members))
}

inline Read(served) {
  reads_are_current = !Misses(served);
  assert(reads_are_current)
}

/* It returns with a new id; what was promised by the old one is not asked of the new one. */
inline LosePool(lost) {
  new_pool = 1;
  for (x : 0 .. NODES - 1) {
    source[x] = (source[x] == lost -> NONE : source[x])
  }
  promised[lost] = 0;
  persisted[lost] = 0;
  voted[lost] = NONE;
  Crash(lost, 0)
}

inline HandOver(willing, heir) {
  renounced[willing] = 1;
  interrupts[heir] = promised[willing]
}

/* --- When it may. */

/* The one who hands over speaks for its own lease, and for no later one. */
#ifdef INTERRUPT_ANY_LEASE
#define Interrupts(c, v) (interrupts[c] != 0)
#else
#define Interrupts(c, v) (interrupts[c] != 0 && interrupts[c] == promised[v])
#endif
#define Refuses(v, c) (LeaseRuns(v) && heard[v] != (c) && !Interrupts(c, v))
#define LeadsAgainst(v, c) (Serving(v) && LeaseHeld(v) && !Interrupts(c, v))

#define HighestOfPeers(i) \
  (promised[Peer(i, 1)] > promised[Peer(i, 2)] -> promised[Peer(i, 1)] : promised[Peer(i, 2)])
#define MaySeek(i, epoch) \
  ((epoch) > promised[i] && ((epoch) == promised[i] + 1 || (epoch) <= HighestOfPeers(i) + 1) && \
   IsMember(Members(i), i) && !Refuses(i, i))
#define MayPromise(v, c) (voted[c] == (c) && promised[c] > promised[v] && !Refuses(v, c) && !LeadsAgainst(v, c))
#define IsComplete(i) (role[i] == WINNER && End(i) >= wanted[i])
#define IsFetching(i) (role[i] == WINNER && End(i) < wanted[i])
#define MayFetch(i, j) \
  (IsFetching(i) && source[i] == (j) && link[i] == NONE && promised[i] == promised[j] && voted[j] == (i))
#define MayLand(i, j) (link[i] == (j) && length[i] < length[j] && (role[j] == PRIMARY || IsFetching(i)))
#define MayAcknowledge(i, j) \
  (role[j] == PRIMARY && link[i] == (j) && (durable[i] < length[i] || acked[(j) * NODES + (i)] < length[i]))
#ifdef IGNORE_EPOCH
#define MayFollow(i, j) (role[j] == PRIMARY)
#else
#define MayFollow(i, j) (role[j] == PRIMARY && promised[j] >= promised[i])
#endif
#ifdef READ_WITHOUT_LEASE
#define MayRead(i) Serving(i)
#else
#define MayRead(i) (Serving(i) && LeaseHeld(i))
#endif
#define HasRoom(i) (length[i] < MAXLEN)
/* One change at a time: the newest members stand in a batch that is committed. */
#define MayChange(i, from) \
  (Serving(i) && Members(i) == from && Entry(i, committed[i]) % 4 == from && HasRoom(i) && link[2] == i)

#ifdef NO_LEASES
#define SetInterrupts(i, epoch) skip
#define LeaseSteps(i, j)
#else
#define SetInterrupts(i, epoch) interrupts[i] = epoch
#define LeaseSteps(i, j) \
  :: d_step { role[j] == PRIMARY && link[i] == (j) && !counts_on[(j) * NODES + i] -> \
              printf("%d gives %d a lease\n", i, j); GiveLease(i, j) } \
  :: d_step { counts_on[i * NODES + (j)] -> \
              printf("%d no longer counts on the lease of %d\n", i, j); counts_on[i * NODES + (j)] = 0 } \
  :: d_step { Serving(i) && link[j] == i && !renounced[i] && interrupts[j] == 0 && IsMember(Members(i), j) -> \
              printf("%d hands over to %d\n", i, j); HandOver(i, j) }
#endif

#define StepsWith(i, j) \
  :: d_step { MayPromise(i, j) && role[j] == CANDIDATE -> \
              printf("%d promises %d epoch %d\n", i, j, promised[j]); \
              GivePromise(i, promised[j], j); interrupts[i] = 0; Win(j, i) } \
  :: d_step { MayPromise(i, j) -> \
              printf("%d promises %d epoch %d, which does not hear of it\n", i, j, promised[j]); \
              GivePromise(i, promised[j], j); interrupts[i] = 0 } \
  :: d_step { MayFetch(i, j) -> printf("%d fetches from %d\n", i, j); Fetch(i, j) } \
  :: d_step { MayFollow(i, j) -> printf("%d follows %d in epoch %d\n", i, j, promised[j]); Follow(i, j) } \
  :: d_step { role[j] == PRIMARY && promised[i] > promised[j] -> \
              printf("%d learns of epoch %d from %d and seeks a later one\n", j, promised[i], i); \
              StepDown(j); SetInterrupts(j, promised[j]) } \
  :: d_step { MayLand(i, j) -> printf("%d lands a batch of %d\n", i, j); Land(i, j) } \
  :: d_step { MayAcknowledge(i, j) -> printf("%d acknowledges to %d\n", i, j); Acknowledge(i, j) } \
  LeaseSteps(i, j)

proctype Node(byte me) {
  do
  StepsWith(me, Peer(me, 1))
  StepsWith(me, Peer(me, 2))
  :: d_step { MaySeek(me, 2) -> printf("%d seeks epoch 2\n", me); Seek(me, 2) }
#if MAXEPOCH > 2
  :: d_step { MaySeek(me, 3) -> printf("%d seeks epoch 3\n", me); Seek(me, 3) }
#endif
#if MAXEPOCH > 3
  :: d_step { MaySeek(me, 4) -> printf("%d seeks epoch 4\n", me); Seek(me, 4) }
#endif
  :: d_step { IsComplete(me) && HasRoom(me) -> printf("%d is primary of epoch %d\n", me, promised[me]); Become(me) }
  :: d_step { Serving(me) && HasRoom(me) -> printf("%d writes\n", me); Write(me) }
  :: d_step { role[me] == PRIMARY && durable[me] < length[me] -> printf("%d drains\n", me); durable[me] = length[me] }
  :: d_step { role[me] == PRIMARY && MajorityHasMore(me) -> printf("%d counts\n", me); Count(me) }
  :: d_step { gave_lease[me] && !counts_on[me] && !counts_on[NODES + me] && !counts_on[2 * NODES + me] ->
              printf("the lease that %d gave ends\n", me); gave_lease[me] = 0; heard[me] = NONE }
  /* A read changes nothing: only one that misses something is looked at. */
  :: d_step { MayRead(me) && Misses(me) -> printf("%d reads\n", me); Read(me) }
#ifdef REACH_READ
  :: d_step { MayRead(me) && promised[me] == MAXEPOCH -> not_reached = false; assert(not_reached) }
#endif
#ifdef RESUME_AFTER_OFFER
  :: d_step { renounced[me] -> printf("%d goes on\n", me); renounced[me] = 0 }
#endif
#ifdef JOIN
  :: d_step { MayChange(me, TWO) && acked[me * NODES + 2] > 0 ->
              printf("2 becomes a member\n"); ChangeMembers(me, RENEWED) }
#endif
#ifdef REPLACE
  :: d_step { me == 2 && !new_pool -> printf("2 loses its pool\n"); LosePool(me) }
#ifdef REPLACE_AT_ONCE
  :: d_step { MayChange(me, ALL) && new_pool && acked[me * NODES + 2] > 0 ->
              printf("2 takes its own place\n"); ChangeMembers(me, RENEWED) }
#else
  :: d_step { MayChange(me, ALL) && new_pool ->
              printf("2 is no member any more\n"); ChangeMembers(me, TWO) }
  :: d_step { MayChange(me, TWO) && acked[me * NODES + 2] > 0 ->
              printf("2 becomes a member again\n"); ChangeMembers(me, RENEWED) }
#endif
#endif
  :: d_step { printf("%d crashes\n", me); Crash(me, durable[me]) }
  :: d_step { durable[me] < length[me] -> printf("%d crashes, but not all is lost\n", me); Crash(me, durable[me] + 1) }
  :: d_step { durable[me] + 1 < length[me] -> printf("%d crashes, but little is lost\n", me); Crash(me, durable[me] + 2) }
  od
}

/* Node 0 is primary of epoch 1, and its first batch is everywhere.  JOIN: but on node 2, which is no member yet. */
init {
  d_step {
    for (k : 0 .. NODES - 1) {
      SetPromise(k, 1, 0);
      length[k] = 1;
      durable[k] = 1;
      Entry(k, 1) = Batch(1, FIRST_MEMBERS);
      link[k] = 0;
      source[k] = NONE;
      heard[k] = NONE
    }
    link[0] = NONE;
    role[0] = PRIMARY;
    committed[0] = 1;
    acked[1] = 1;
    acked[2] = 1;
    history[0] = Batch(1, FIRST_MEMBERS);
    history_length = 1;
    for (k : 0 .. MAXEPOCH) {
      primary_of[k] = NONE
    }
    primary_of[1] = 0;
#ifdef JOIN
    LosePool(2);
    acked[2] = 0
#endif
  }
  atomic { run Node(0); run Node(1); run Node(2) }
}
