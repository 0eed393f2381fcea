/* What one campaign waits for, for spin: five nodes, of which any two may hang for ever at any moment; one of these is
 * the primary.  tests/model/run checks that every fair run ends in a victory, and that each mutation waits for ever.
 *
 * Fair means: a node that lives answers in the end, a lease that is not renewed ends, and so does each time-out.  A node
 * that lives answers before the time-out.  Logs are left out: protocol.pml has them.  What else may happen to a voter
 * that lives: the primary, as long as it lives, gives it a lease; and it promises a later epoch to another candidate,
 * which fails (MAX_OTHERS times in all).
 *
 * step -> what it stands for
 *   AnswerState    -> Election::AskMembers Votes::AnswerState Campaign::OnState
 *   Judge          -> Campaign::Judge Campaign::MajorityAnswers
 *   AnswerPromise  -> Election::AskForPromises Election::RequestPromises Votes::AnswerPromise Campaign::OnPromise
 *   AskAgain       -> Campaign::AskAgain
 *   Unreachable    -> Inquiry::Dial Election::OnClose Campaign::OnUnreachable
 *   PromisesLate   -> Election::StepCampaign Campaign::OnPromisesLate
 *   StartAnew      -> Election::LostBestLog Election::StartCampaign
 */
#define VOTERS 4
#define PRIMARY 0    /* the voter that was the primary */
#define MAX_OTHERS 2 /* promises that other candidates got */

#define ASK 0
#define PROMISE 1
#define FOLLOW 2
#define WON 3

byte stage = ASK;       /* Campaign::Next */
bit said[VOTERS];       /* the campaign has its state */
bit said_lease[VOTERS]; /* and in it, that a lease may run */
bit granted[VOTERS];
bit asked[VOTERS];      /* it has answered the request of this epoch */

bit hangs[VOTERS];
bit lease[VOTERS]; /* it may run, for whatever that voter knows */
bit later[VOTERS]; /* it promised an epoch that the campaign has not heard of */
byte hanging, others; /* how many hang, and what other candidates were promised */

hidden byte v, answering, grants, not_reached;

inline CountAnswers() {
  answering = 1 + said[0] + said[1] + said[2] + said[3]
}

inline Judge() {
  CountAnswers();
  if
  :: stage == ASK && answering >= 3 && !(said_lease[0] || said_lease[1] || said_lease[2] || said_lease[3]) ->
     stage = PROMISE
  :: else
  fi
}

/* It keeps the states that it has. */
inline AskAgain() {
  for (v : 0 .. VOTERS - 1) {
    granted[v] = 0;
    asked[v] = 0
  }
  stage = ASK
}

inline ForgetStates() {
  for (v : 0 .. VOTERS - 1) {
    said[v] = 0;
    said_lease[v] = 0
  }
}

inline StartAnew() {
  ForgetStates();
  AskAgain()
}

inline PromisesLate() {
  ForgetStates();
  AskAgain()
}

/* A primary that lives says so. */
inline AnswerState(who) {
  said[who] = 1;
  said_lease[who] = lease[who];
  later[who] = 0;
  if
  :: who == PRIMARY -> stage = FOLLOW
  :: else -> Judge()
  fi
}

inline AnswerPromise(voter) {
  asked[voter] = 1;
  if
  :: voter == PRIMARY || lease[voter] || later[voter] ->
     later[voter] = 0;
     said[voter] = 0;
     said_lease[voter] = 0;
     CountAnswers();
     if
     :: answering < 3 -> AskAgain()
     :: else
     fi
  :: else ->
     granted[voter] = 1;
     grants = 1 + granted[0] + granted[1] + granted[2] + granted[3];
     if
     :: grants >= 3 ->
        stage = WON;
#ifdef REACH_WON
        not_reached = hanging < 2;
        assert(not_reached)
#endif
     :: else
     fi
  fi
}

inline Unreachable(silent) {
  said[silent] = 0;
  said_lease[silent] = 0;
  Judge();
  if
  :: stage == PROMISE && !granted[silent] && answering < 3 -> AskAgain()
  :: else
  fi
}

/* --- When it may. */
#ifdef ANSWERS_NEVER_AGE
#define Ages(i) false
#elif defined PROMISES_NEVER_LATE
#define Ages(i) (stage == ASK && said[i])
#else
#define Ages(i) ((stage == ASK || stage == PROMISE) && said[i])
#endif
#define HasAnswered(i) (hangs[i] || asked[i])
#ifdef PROMISES_NEVER_LATE
#define AreLate false
#else
#define AreLate (HasAnswered(0) && HasAnswered(1) && HasAnswered(2) && HasAnswered(3))
#endif

/* What waits for it is fair for each process, and of each process no more than one step is possible at a time. */
proctype Voter(byte me) {
end:
  do
  :: d_step { stage == ASK && !hangs[me] -> printf("%d tells its state\n", me); AnswerState(me) }
  :: d_step { stage == PROMISE && !hangs[me] && !asked[me] ->
              printf("%d answers to the request of a promise\n", me); AnswerPromise(me) }
  :: d_step { hangs[me] && Ages(me) -> printf("what %d said has aged\n", me); Unreachable(me) }
  :: d_step { hangs[me] && me == PRIMARY && stage == FOLLOW -> printf("%d is lost\n", me); StartAnew() }
  od
}

proctype Lease(byte me) {
end:
  do
  :: d_step { lease[me] -> printf("the lease that %d gave ends\n", me); lease[me] = 0 }
  od
}

proctype Candidate() {
end:
  do
  :: d_step { stage == PROMISE && AreLate -> printf("the promises are late\n"); PromisesLate() }
  od
}

#define FateOf(i) \
  :: d_step { hanging < 2 && !hangs[i] -> printf("%d hangs\n", i); hangs[i] = 1; hanging++ } \
  :: d_step { others < MAX_OTHERS && !hangs[i] && i != PRIMARY -> \
              printf("%d promises another a later epoch\n", i); later[i] = 1; others++ } \
  :: d_step { !hangs[PRIMARY] && !hangs[i] && !granted[i] && !lease[i] && i != PRIMARY -> \
              printf("%d gives a lease\n", i); lease[i] = 1 }

proctype Fate() {
  do
  FateOf(0)
  FateOf(1)
  FateOf(2)
  FateOf(3)
  :: break
  od
}

init {
  atomic {
    for (v : 0 .. VOTERS - 1) {
      lease[v] = (v != PRIMARY)
    }
    run Candidate();
    run Fate();
    run Voter(0); run Voter(1); run Voter(2); run Voter(3);
    run Lease(1); run Lease(2); run Lease(3)
  }
}

ltl is_won_without_those_that_hang { <> hangs[PRIMARY] -> <> (stage == WON) }
