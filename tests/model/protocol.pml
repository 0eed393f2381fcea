/* How FaHA elects and replicates, for spin: three nodes, every order of steps, every loss of links and power at any moment.
 * tests/model/run checks it exhaustively within the bounds it lists, and that each mutation below breaks an invariant.
 *
 * A step here is what one node does to itself, together with the message that made it: a message that is late is a step
 * that comes later, for a link that breaks or a promise ends what was on its way.  Time is left out but for leases:
 * a lease that a backup gave ends at any moment after the primary no longer counts on it (the bound on clock drift).
 * A crash is a power failure and the restart: a node that is down is one that does nothing for a while.  Pre-vote
 * (Campaign::OnState) only withholds attempts: here a node may always try; what a campaign waits for is campaign.pml's.
 *
 * Cleaning (INSTALL) is what it does to a node that is behind: whatever was committed may have been cleaned away where
 * a node seeks it.  A node that takes a whole log has an empty one until that is whole: once it has all that its
 * source knows as committed, and the first batch of the source's epoch, for all that others committed lies before that.
 * A damaged log (DAMAGE, once) is one that its node gives up without knowing how far it reached.
 *
 * step -> what it stands for
 *   Seek          -> Election::StartCampaign Election::AskForPromises Campaign::OnOwnPromise
 *   GivePromise   -> Votes::AnswerPromise Election::GivePromise Voter::Judge Pool::SetPromise Receiver::Stop Follower::Absorb
 *   Win           -> Campaign::OnPromise Campaign::JudgePromises Replica::VouchedEnd
 *   Fetch         -> Election::FetchFromBest Follower::Introduce Source::Answer Source::Admissible Source::CommonWith
 *   LeadInstead   -> Source::RefuseToInstall Election::LeadInstead Follower::Refused Election::EndCampaign
 *   Become        -> Election::BecomePrimary Primary::Begin Pool::SetLeader Committer::Begin
 *   Follow        -> Source::Answer Source::CommonWith Follower::Accept Pool::SetLeader Log::CutAfter Committer::Admit
 *                    Voter::Heard
 *   BeginInstall  -> Source::Answer Follower::Accept Replica::BeginInstall Pool::BeginInstall Log::Reset
 *   EndInstall    -> Shipper::SendGap Follower::Gap Replica::AllowGap Follower::Persist Replica::EndInstallIfWhole Pool::EndInstall
 *   Land          -> Shipper::Pump Receiver::OnBatch Follower::Land
 *   Acknowledge   -> Receiver::OnPollEnd Follower::Persist Log::Drain Shipper::OnAck
 *   GiveLease     -> Receiver::OnHeartbeat Follower::Heard Voter::Heard Shipper::SendHeartbeat
 *   Count         -> Primary::Progress Committer::Advance
 *   Write         -> Primary::EndUnit Log::Seal Primary::Ship
 *   Read          -> Node::CheckRead Primary::CheckServing
 *   Reply         -> Primary::Commit Primary::WaitAcknowledged Primary::RenewLease Primary::CountLease Committer::HeardByMajority
 *   ChangeMembers -> Primary::AppendConfiguration Committer::Joining Membership::Toward Primary::Forget
 *   LosePool      -> Follower::JoinCluster
 *   HandOver      -> Primary::HandOver Election::HandOverOffered
 *   LeadLater     -> Election::OnLaterEpoch Election::StepOffer
 *   StepDown      -> Election::StepDown Primary::End Committer::End
 *   Crash         -> Node::Start Replica::OpenLog Log::Open
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
#ifndef NO_LEASES
byte leader[NODES];      /* the primary of the promised epoch, which it is or has followed; NONE: not known */
#endif
bit installing[NODES];   /* it takes a whole log, and has none until then */
byte claim[NODES];       /* where the log ended that it gave up for that */
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
byte reader;                  /* a primary in whose turn something stale was read: one is enough; NONE: nobody */
byte proof;                   /* the first batch that is sealed after the read */
bit answered[NODES];          /* a heartbeat of the reader, after the read */
#ifdef DAMAGE
bit damaged;                  /* it has happened */
#endif
bit new_pool;                 /* node 2 has lost its pool, and has a new id */
#ifdef DEATH
byte dead = NONE;             /* a node that does nothing any more */
#define Lives(i) (dead != (i))
#else
#define Lives(i) true
#endif

/* --- Known to no node. */
byte history[MAXLEN], history_length; /* what was committed, by anyone */
byte primary_of[MAXEPOCH + 1];

hidden byte k, x, y, z;
hidden byte one_primary_per_epoch, nothing_committed_is_lost, nothing_committed_is_cut, committed_logs_agree,
            reads_are_current, promises_only_grow, a_majority_can_elect, not_reached;

/* Members: all three, 0 and 1, these and node 2 with its new pool, or 0 alone. */
#define ALL 0
#define TWO 1
#define RENEWED 2
#define ONE 3
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
#define IsMemberOfMore(members, j) ((j) != 2 || ((members) == ALL && !new_pool) || ((members) == RENEWED && new_pool))
#ifdef FORGET
#define IsAlone(i) (Members(i) == ONE)
#define IsMember(members, j) ((j) == 0 || ((members) != ONE && IsMemberOfMore(members, j)))
#else
#define IsAlone(i) false
#define IsMember(members, j) IsMemberOfMore(members, j)
#endif
#define Acked(i, j) (IsMember(Members(i), j) -> acked[(i) * NODES + (j)] : 0)
#define CountsOn(i, j) (counts_on[(i) * NODES + (j)] && IsMember(Members(i), j))

#define Serving(i) (role[i] == PRIMARY && committed[i] > 0)
#ifdef NO_LEASES
#define LeaseRuns(i) false
#define LeaseHeld(i) false
#else
#define LeaseRuns(i) gave_lease[i]
/* Of every set of members that occurs with leases two are a majority: itself and another. */
#define MajorityHears(i) (CountsOn(i, Peer(i, 1)) || CountsOn(i, Peer(i, 2)))
#ifdef OFFER_KEEPS_LEASE
#define LeaseHeld(i) MajorityHears(i)
#else
#define LeaseHeld(i) (!renounced[i] && MajorityHears(i))
#endif
#endif
#define AnsweredTo(i, j) (answered[j] && IsMember(Members(i), j))
#define MajorityAnswered(i) (AnsweredTo(i, Peer(i, 1)) || AnsweredTo(i, Peer(i, 2)))

/* A claim that is further than any log. */
#define UNKNOWN 255
/* While the members stay the same a claim never decides.  What such a node lacks was committed by a majority without it,
 * so every other majority has a log that reaches further.  Where members have left (FORGET) it does: 0 alone commits what
 * 1 then lacks, and 2, which knows of none of that, still counts 1 as a member. */
#if defined ANY_CLAIM
#define CountsFor(granter, winner) true
#elif defined INSTALLING_HAS_NO_VOTE
#define CountsFor(granter, winner) (!installing[granter])
#else
#define CountsFor(granter, winner) (!installing[granter] || claim[granter] <= End(winner))
#endif

/* --- The invariants. */
#define Lacks(i, at) (history_length >= (at) && (length[i] < (at) || Entry(i, at) != history[(at) - 1]))
#define LacksAgainst(i, j, at) (Lacks(i, at) && !Lacks(j, at))
#if MAXLEN == 3
#define Misses(i) (Lacks(i, 1) || Lacks(i, 2) || Lacks(i, 3))
#define IsBehind(i, j) (LacksAgainst(i, j, 1) || LacksAgainst(i, j, 2) || LacksAgainst(i, j, 3))
#else
#define Misses(i) (Lacks(i, 1) || Lacks(i, 2) || Lacks(i, 3) || Lacks(i, 4))
#define IsBehind(i, j) \
  (LacksAgainst(i, j, 1) || LacksAgainst(i, j, 2) || LacksAgainst(i, j, 3) || LacksAgainst(i, j, 4))
#endif
/* Of two nodes that are a majority of the three, while the third is away for ever: can neither lead?  If one can there
 * is a way from here to a primary: their leases end, it seeks a later epoch, the other promises. */
#if defined INSTALL && !defined DAMAGE && !defined JOIN && !defined REPLACE && !defined FORGET
#define ALWAYS_THREE
#endif
#define CanLeadWith(i, j) (!installing[i] && CountsFor(j, i))
#define IsDeadEnd(i, j) (!CanLeadWith(i, j) && !CanLeadWith(j, i))

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
inline SetLeader(knower, its_leader) {
#ifdef NO_LEASES
  skip
#else
  leader[knower] = its_leader
#endif
}

inline EndTurn() {
  reader = NONE;
  answered[0] = 0;
  answered[1] = 0;
  answered[2] = 0;
  proof = 0
}

inline Forget(fresh) {
  role[fresh] = BACKUP;
  committed[fresh] = 0;
  for (x : 0 .. NODES - 1) {
    acked[fresh * NODES + x] = 0;
    counts_on[fresh * NODES + x] = 0
  }
  renounced[fresh] = 0;
  source[fresh] = NONE;
  wanted[fresh] = 0;
  if
  :: reader == fresh -> EndTurn()
  :: else
  fi
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
  persisted[pool] = its_epoch;
  SetLeader(pool, NONE)
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
  role[seeker] = (IsAlone(seeker) -> WINNER : CANDIDATE)
}

/* The first promise makes two, a majority, if the members of the better log count both.  A node that is being given a
 * log has none to offer: it counts where its claim is no further than the end of the winner's log. */
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
  :: IsMember(z, winner) && IsMember(z, granter) && CountsFor(granter, winner) -> role[winner] = WINNER
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

inline GiveUpLog(giver_up, reached) {
  claim[giver_up] = (reached > claim[giver_up] -> reached : claim[giver_up]);
  installing[giver_up] = 1;
  for (x : 1 .. MAXLEN) {
    Entry(giver_up, x) = 0
  }
  length[giver_up] = 0;
  durable[giver_up] = 0
}

/* The candidate does not give up its log for that of the best node, which has cleaned away what the candidate lacks. */
inline LeadInstead(candidate) {
#ifdef REACH_LEAD_INSTEAD
  not_reached = false;
  assert(not_reached);
#endif
#ifdef WHOLE_LOG_IN_PLACE
  GiveUpLog(candidate, UNKNOWN);
  link[candidate] = source[candidate]
#else
  Forget(candidate)
#endif
}

inline Append(appender, batch) {
  k = batch;
  length[appender]++;
  Entry(appender, length[appender]) = k
}

/* One that was elected so late that a later epoch has committed will commit nothing itself. */
inline Become(elected) {
  one_primary_per_epoch = primary_of[promised[elected]] == NONE;
  assert(one_primary_per_epoch);
  primary_of[promised[elected]] = elected;
  if
  :: promised[elected] > EpochOf(history[history_length - 1]) -> CheckHolds(elected)
  :: else
  fi;
#ifdef REACH_FETCH
  not_reached = source[elected] == NONE;
  assert(not_reached);
#endif
#ifdef REACH_INSTALLING
  not_reached = !installing[Peer(elected, 1)] && !installing[Peer(elected, 2)] || dead == NONE;
  assert(not_reached);
#endif
  link[elected] = NONE;
  Forget(elected);
  interrupts[elected] = 0;
  role[elected] = PRIMARY;
  SetLeader(elected, elected);
  Append(elected, Batch(promised[elected], Members(elected)))
}

inline Subscribe(subscriber, publisher) {
  if
  :: promised[publisher] > promised[subscriber] -> SetPromise(subscriber, promised[publisher], publisher)
  :: else
  fi;
#ifndef NO_LEASES
  gave_lease[subscriber] = 1;
  heard[subscriber] = publisher;
#endif
  SetLeader(subscriber, publisher);
  link[subscriber] = publisher
}

/* The primary counts what both logs hold as acknowledged, so it must be durable; and the node remembers whom it follows,
 * for after a restart its lease does not keep that one from trying. */
inline Follow(follower, followed) {
  StepDown(follower);
  interrupts[follower] = 0;
  FindCommon(follower, followed);
  CutAfter(follower, k);
#ifndef FOLLOW_WITHOUT_DRAIN
  durable[follower] = length[follower];
#endif
  Subscribe(follower, followed);
  acked[followed * NODES + follower] = length[follower]
}

/* It starts anew with every primary that it follows, and is no copy: a claim only grows until a log is whole. */
inline BeginInstall(taker, giver) {
  StepDown(taker);
  interrupts[taker] = 0;
  GiveUpLog(taker, End(taker));
  Subscribe(taker, giver);
  acked[giver * NODES + taker] = 0
}

inline EndInstall(installed, original_) {
  k = (committed[original_] > 1 -> committed[original_] : 1);
#ifndef WHOLE_TOO_EARLY
  for (x : 1 .. MAXLEN) {
    if
    :: x >= k && x <= length[original_] && EpochOf(Entry(original_, x)) < promised[original_] -> k = x + 1
    :: else
    fi
  }
#endif
#ifdef WHOLE_LOG_IN_PLACE
  k = (role[installed] == WINNER -> length[original_] : k);
#endif
  for (x : 1 .. MAXLEN) {
    Entry(installed, x) = (x <= k -> Entry(original_, x) : 0)
  }
  length[installed] = k;
  durable[installed] = k;
  installing[installed] = 0;
  claim[installed] = 0;
#ifdef REACH_WHOLE
  not_reached = false;
  assert(not_reached)
#endif
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
  answered[giver] = (reader == holder -> 1 : answered[giver]);
  CheckAgrees(giver, holder)
}

/* The second highest of three: what a majority has. */
inline FindReached(counter) {
  k = durable[counter];
  x = Acked(counter, Peer(counter, 1));
  y = Acked(counter, Peer(counter, 2));
  k = (IsAlone(counter) -> k : (k > x -> (x > y -> x : (k > y -> y : k)) : (k > y -> k : (x > y -> y : x))))
}

#define More(copy, i) (copy > committed[i] -> 1 : 0)
#define MajorityHasMore(i) \
  (More(durable[i], i) + More(Acked(i, Peer(i, 1)), i) + More(Acked(i, Peer(i, 2)), i) >= (IsAlone(i) -> 1 : 2))

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
#ifdef REACH_MEMBERS
     not_reached = Members(counter_) != REACH_MEMBERS;
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
#elif defined INSTALLING_FORGETS_LEASE
  gave_lease[failed] = !installing[failed];
  heard[failed] = NONE
#elif defined KEEP_OWN_VOTE
  gave_lease[failed] = 1;
  heard[failed] = voted[failed]
#elif defined OWN_VOTE_GAVE_NO_LEASE
  gave_lease[failed] = voted[failed] != failed;
  heard[failed] = NONE
#else
  gave_lease[failed] = leader[failed] != failed;
  heard[failed] = (gave_lease[failed] -> leader[failed] : NONE)
#endif
}

inline Write(author) {
  Append(author, Batch(promised[author], Members(author)))
}

inline ChangeMembers(changer, members) {
  Append(changer, Batch(promised[changer], members))
}

/* It misses what was committed before, so this turn must not reply. */
inline Read(served) {
#ifdef REACH_STALE_READ
  not_reached = false;
  assert(not_reached);
#endif
  reader = served;
#ifdef EARLIER_BATCH_PROVES
  proof = length[served]
#else
  proof = length[served] + 1
#endif
}

inline Reply() {
  reads_are_current = false;
  assert(reads_are_current)
}

/* It returns with a new id; what was promised by the old one is not asked of the new one. */
inline LosePool(lost) {
  new_pool = 1;
  for (x : 0 .. NODES - 1) {
    source[x] = (source[x] == lost -> NONE : source[x])
  }
  promised[lost] = 0;
  installing[lost] = 0;
  claim[lost] = 0;
  persisted[lost] = 0;
  voted[lost] = NONE;
  SetLeader(lost, NONE);
  Crash(lost, 0)
}

inline HandOver(willing, heir) {
  renounced[willing] = 1;
  interrupts[heir] = promised[willing]
}

/* It gives its own lease up for that of a later epoch, which it seeks. */
inline LeadLater(outdated) {
  StepDown(outdated);
#ifdef NO_LEASES
  skip
#else
  interrupts[outdated] = promised[outdated]
#endif
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
   !installing[i] && IsMember(Members(i), i) && !Refuses(i, i))
#define MayPromise(v, c) \
  (claim[v] != UNKNOWN && voted[c] == (c) && promised[c] > promised[v] && !Refuses(v, c) && !LeadsAgainst(v, c))
#define IsComplete(i) (role[i] == WINNER && !installing[i] && End(i) >= wanted[i])
#define IsFetching(i) (role[i] == WINNER && End(i) < wanted[i])
#define MayFetch(i, j) \
  (IsFetching(i) && source[i] == (j) && link[i] == NONE && promised[i] == promised[j] && voted[j] == (i) && \
   !installing[j])
#define MayLand(i, j) \
  (link[i] == (j) && !installing[i] && length[i] < length[j] && (role[j] == PRIMARY || IsFetching(i)))
#define MayAcknowledge(i, j) \
  (role[j] == PRIMARY && link[i] == (j) && !installing[i] && \
   (durable[i] < length[i] || acked[(j) * NODES + (i)] < length[i]))
#ifdef IGNORE_EPOCH
#define MayFollow(i, j) (role[j] == PRIMARY)
#else
#define MayFollow(i, j) (role[j] == PRIMARY && promised[j] >= promised[i])
#endif
/* Proof that no other was primary at the time of the read. */
#ifdef READ_WITHOUT_LEASE
#define MayReply(i) true
#elif defined NOTHING_PROVES
#define MayReply(i) (LeaseHeld(i) || committed[i] >= proof || MajorityAnswered(i) || length[i] < proof)
#else
#define MayReply(i) (LeaseHeld(i) || committed[i] >= proof || MajorityAnswered(i))
#endif
#define HasRoom(i) (length[i] < MAXLEN)
/* One change at a time: the newest members stand in a batch that is committed. */
#define IsSettled(i, members) \
  (Serving(i) && Members(i) == members && Entry(i, committed[i]) % 4 == members && HasRoom(i))
#define MayChange(i, from) (IsSettled(i, from) && link[2] == i)
#define MayForget(i, from, gone) (IsSettled(i, from) && (i) != (gone) && link[gone] != i)

#ifdef NO_LEASES
#define LeaseSteps(i, j)
#else
#define LeaseSteps(i, j) \
  :: d_step { role[j] == PRIMARY && link[i] == (j) && \
              (!counts_on[(j) * NODES + i] || (reader == (j) && !answered[i])) -> \
              printf("%d gives %d a lease\n", i, j); GiveLease(i, j) } \
  :: d_step { counts_on[i * NODES + (j)] -> \
              printf("%d no longer counts on the lease of %d\n", i, j); counts_on[i * NODES + (j)] = 0 } \
  :: d_step { Serving(i) && link[j] == i && !installing[j] && !renounced[i] && interrupts[j] == 0 && \
              IsMember(Members(i), j) -> \
              printf("%d hands over to %d\n", i, j); HandOver(i, j) }
#endif
#ifdef INSTALL
#define CanTakeWhole(i, j) (installing[i] || IsBehind(i, j))
#define InstallSteps(i, j) \
  :: d_step { MayFollow(i, j) && CanTakeWhole(i, j) -> \
              printf("%d follows %d in epoch %d, whose log it takes\n", i, j, promised[j]); BeginInstall(i, j) } \
  :: d_step { MayFetch(i, j) && IsBehind(i, j) -> \
              printf("%d leaves the epoch to %d, which has what it lacks\n", i, j); LeadInstead(i) } \
  :: d_step { installing[i] && link[i] == (j) && (role[j] == PRIMARY || role[i] == WINNER) -> \
              printf("%d has the whole log of %d\n", i, j); EndInstall(i, j) }
#else
#define InstallSteps(i, j)
#endif

#define StepsWith(i, j) \
  :: d_step { MayPromise(i, j) && role[j] == CANDIDATE -> \
              printf("%d promises %d epoch %d\n", i, j, promised[j]); \
              GivePromise(i, promised[j], j); interrupts[i] = 0; Win(j, i) } \
  :: d_step { MayPromise(i, j) -> \
              printf("%d promises %d epoch %d, which does not hear of it\n", i, j, promised[j]); \
              GivePromise(i, promised[j], j); interrupts[i] = 0 } \
  :: d_step { MayFetch(i, j) -> printf("%d fetches from %d\n", i, j); Fetch(i, j) } \
  :: d_step { MayFollow(i, j) && !installing[i] -> \
              printf("%d follows %d in epoch %d\n", i, j, promised[j]); Follow(i, j) } \
  :: d_step { role[j] == PRIMARY && promised[i] > promised[j] && !renounced[j] -> \
              printf("%d learns of epoch %d from %d and seeks a later one\n", j, promised[i], i); LeadLater(j) } \
  :: d_step { MayLand(i, j) -> printf("%d lands a batch of %d\n", i, j); Land(i, j) } \
  :: d_step { MayAcknowledge(i, j) -> printf("%d acknowledges to %d\n", i, j); Acknowledge(i, j) } \
  LeaseSteps(i, j) \
  InstallSteps(i, j)

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
#ifndef NO_LEASES
  /* A read changes nothing: only one that misses something is looked at. */
  :: d_step { reader == NONE && Serving(me) && Misses(me) -> printf("%d reads what is stale\n", me); Read(me) }
  :: d_step { reader == me && MayReply(me) -> printf("%d replies\n", me); Reply() }
  :: d_step { reader == me -> printf("%d proves nothing and does not reply\n", me); EndTurn() }
  :: d_step { role[me] == PRIMARY && renounced[me] -> printf("%d takes its offer back\n", me); LeadLater(me) }
#endif
#ifdef ALWAYS_THREE
  :: d_step { IsDeadEnd(me, Peer(me, 1)) -> printf("%d and %d can elect neither\n", me, Peer(me, 1));
              a_majority_can_elect = false; assert(a_majority_can_elect) }
#endif
#ifdef DEATH
  :: d_step { dead == NONE && role[me] == PRIMARY -> printf("%d dies\n", me); Crash(me, durable[me]); dead = me }
#endif
#ifdef REACH_READ
  :: d_step { Serving(me) && LeaseHeld(me) && promised[me] == MAXEPOCH -> not_reached = false; assert(not_reached) }
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
#ifdef DAMAGE
  :: d_step { !damaged && !installing[me] -> printf("%d crashes, and its log is damaged\n", me);
              damaged = 1; Crash(me, durable[me]); GiveUpLog(me, UNKNOWN) }
#endif
#ifdef FORGET
  :: d_step { MayForget(me, ALL, 2) -> printf("%d forgets 2\n", me); ChangeMembers(me, TWO) }
  :: d_step { me == 0 && MayForget(me, TWO, 1) -> printf("%d forgets 1\n", me); ChangeMembers(me, ONE) }
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
      SetLeader(k, 0);
      length[k] = 1;
      durable[k] = 1;
      Entry(k, 1) = Batch(1, FIRST_MEMBERS);
      link[k] = 0;
      source[k] = NONE;
      heard[k] = NONE
    }
    reader = NONE;
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
