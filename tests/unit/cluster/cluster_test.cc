// The pure rules: promises, campaigns, quorums, membership.
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <utility>

#include "base/member_codec.h"
#include "cluster/campaign.h"
#include "cluster/membership.h"
#include "cluster/phase.h"
#include "cluster/quorum.h"
#include "cluster/voter.h"

namespace faha {
namespace {

using std::chrono::milliseconds;

Member Node(std::uint8_t number) {
  return {NodeId{{number}}, "127.0.0.1", static_cast<std::uint16_t>(17000 + number),
          static_cast<std::uint16_t>(7000 + number)};
}
const Member kA = Node(1), kB = Node(2), kC = Node(3), kD = Node(4), kE = Node(5);

LogEnd End(std::uint64_t epoch, std::uint64_t lsn) { return {Epoch{epoch}, Lsn{lsn}}; }

PeerState State(Epoch promised, LogEnd end, Members members, bool serving = false, bool lease = false) {
  return {
      .serving = serving, .lease_may_run = lease, .promised = promised, .end = end, .primary = kA, .members = members};
}
PromiseAnswer Grant(Epoch epoch, LogEnd end, Members members) {
  return {.granted = true, .refusal = Refusal::kNone, .promised = epoch, .end = end, .members = std::move(members)};
}

// The way of a candidate, step by step: whatever else happens in a phase ends it.
TEST(Phase, TheTableIsComplete) {
  const std::map<std::pair<Phase, PhaseEvent>, Phase> steps{
      {{Phase::kFollowing, PhaseEvent::kSeek}, Phase::kAsking},
      {{Phase::kAsking, PhaseEvent::kPromise}, Phase::kPromised},
      {{Phase::kPromised, PhaseEvent::kPromise}, Phase::kPromised},  // of a later epoch
      {{Phase::kPromised, PhaseEvent::kAskAgain}, Phase::kAsking},
      {{Phase::kPromised, PhaseEvent::kWin}, Phase::kFetching},
      {{Phase::kFetching, PhaseEvent::kCatchUp}, Phase::kLeading},
      {{Phase::kLeading, PhaseEvent::kDepose}, Phase::kFollowing},
  };
  for (std::size_t i = 0; i < kPhases; ++i) {
    for (std::size_t j = 0; j < kPhaseEvents; ++j) {
      const auto phase = static_cast<Phase>(i);
      const auto event = static_cast<PhaseEvent>(j);
      std::optional<Phase> expected;
      if (event == PhaseEvent::kGiveUp && HasCampaign(phase)) expected = Phase::kFollowing;
      if (event == PhaseEvent::kFail && phase != Phase::kFailed) expected = Phase::kFailed;
      if (const auto step = steps.find({phase, event}); step != steps.end()) expected = step->second;
      EXPECT_EQ(After(phase, event), expected) << i << " " << j;
    }
  }
}

TEST(Voter, TheDecisionTableIsComplete) {
  for (const auto order : {EpochOrder::kLower, EpochOrder::kEqual, EpochOrder::kHigher}) {
    for (int bits = 0; bits < 8; ++bits) {
      const bool same = (bits & 1) != 0, lease = (bits & 2) != 0, interrupt = (bits & 4) != 0;
      Refusal expected = Refusal::kNone;
      if (order == EpochOrder::kLower) expected = Refusal::kOldEpoch;
      if (order == EpochOrder::kEqual && !same) expected = Refusal::kAlreadyPromised;
      if (order == EpochOrder::kHigher && lease && !interrupt) expected = Refusal::kPrimaryAlive;
      EXPECT_EQ(JudgePromise(order, same, lease, interrupt), expected) << static_cast<int>(order) << " " << bits;
    }
  }
}

TEST(Voter, PromisesAnEpochOnce) {
  Voter voter(Epoch{3}, kA.id, milliseconds(1000), MonoTime{0}, {.nothing = true, .holder = {}});
  EXPECT_EQ(voter.Judge(Epoch{3}, kA.id, Epoch{}, MonoTime{1}), Refusal::kNone);
  EXPECT_EQ(voter.Judge(Epoch{3}, kB.id, Epoch{}, MonoTime{1}), Refusal::kAlreadyPromised);
  EXPECT_EQ(voter.Judge(Epoch{2}, kA.id, Epoch{}, MonoTime{1}), Refusal::kOldEpoch);
  EXPECT_EQ(voter.Judge(Epoch{4}, kB.id, Epoch{}, MonoTime{1}), Refusal::kNone);
  voter.Promised(Epoch{4}, kB.id);
  EXPECT_EQ(voter.Judge(Epoch{4}, kC.id, Epoch{}, MonoTime{1}), Refusal::kAlreadyPromised);
}

TEST(Voter, WaitsForTheLeaseItGaveAndForTheOneItForgot) {
  Voter restarted(Epoch{3}, kA.id, milliseconds(1000), MonoTime{0}, {});
  EXPECT_EQ(restarted.Judge(Epoch{4}, kB.id, Epoch{}, milliseconds(1000)), Refusal::kPrimaryAlive);
  // It voted for A, but may have followed another that won.
  EXPECT_EQ(restarted.Judge(Epoch{4}, kA.id, Epoch{}, milliseconds(1000)), Refusal::kPrimaryAlive);
  EXPECT_EQ(restarted.Judge(Epoch{4}, kB.id, Epoch{}, milliseconds(1125)), Refusal::kNone);
  restarted.Heard(kA.id, milliseconds(2000));
  EXPECT_EQ(restarted.Judge(Epoch{4}, kB.id, Epoch{}, milliseconds(3100)), Refusal::kPrimaryAlive);
  EXPECT_EQ(restarted.Judge(Epoch{4}, kB.id, Epoch{3}, milliseconds(3100)), Refusal::kNone) << "handed over";
  EXPECT_EQ(restarted.Judge(Epoch{4}, kA.id, Epoch{}, milliseconds(3100)), Refusal::kNone) << "the holder itself";
  EXPECT_EQ(restarted.Judge(Epoch{4}, kB.id, Epoch{}, milliseconds(3125)), Refusal::kNone);
}

TEST(Voter, ALeaseThatItKnowsOfDoesNotBindItsHolder) {
  const Voter restarted(Epoch{3}, kA.id, milliseconds(1000), MonoTime{0}, {.nothing = false, .holder = kB.id});
  EXPECT_EQ(restarted.Judge(Epoch{4}, kB.id, Epoch{}, MonoTime{1}), Refusal::kNone);
  EXPECT_EQ(restarted.Judge(Epoch{4}, kA.id, Epoch{}, MonoTime{1}), Refusal::kPrimaryAlive) << "it voted for A";
  EXPECT_EQ(restarted.Judge(Epoch{4}, kA.id, Epoch{}, milliseconds(1125)), Refusal::kNone);
  EXPECT_EQ(restarted.LeaseHolder(), kB.id);
}

TEST(Voter, WhoWasThePrimaryHasGivenNoLease) {
  const Voter restarted(Epoch{3}, kA.id, milliseconds(1000), MonoTime{0}, {.nothing = true, .holder = kA.id});
  EXPECT_EQ(restarted.Judge(Epoch{4}, kB.id, Epoch{}, MonoTime{1}), Refusal::kNone);
  EXPECT_FALSE(restarted.LeaseMayRun(MonoTime{1}));
}

TEST(Voter, NobodyGivesUpTheLeaseOfALaterEpoch) {
  Voter voter(Epoch{1}, kA.id, milliseconds(1000), MonoTime{0}, {.nothing = true, .holder = {}});
  voter.Heard(kA.id, MonoTime{1});
  voter.Promised(Epoch{2}, kB.id);
  voter.Heard(kB.id, MonoTime{2});
  EXPECT_EQ(voter.Judge(Epoch{3}, kA.id, Epoch{1}, MonoTime{3}), Refusal::kPrimaryAlive);
  EXPECT_EQ(voter.Judge(Epoch{3}, kC.id, Epoch{1}, MonoTime{3}), Refusal::kPrimaryAlive);
  EXPECT_EQ(voter.Judge(Epoch{3}, kC.id, Epoch{2}, MonoTime{3}), Refusal::kNone);
}

TEST(Quorum, CountsWhatAMajorityHas) {
  const auto reached = [](std::vector<std::uint64_t> values) {
    Members members;
    for (std::size_t i = 0; i < values.size(); ++i) members.push_back(Node(static_cast<std::uint8_t>(i)));
    return ReachedByMajority(members, [&](const Member& m) { return values[m.id.bytes[0]]; });
  };
  EXPECT_EQ(reached({}), 0U);
  EXPECT_EQ(reached({7}), 7U);
  EXPECT_EQ(reached({7, 5}), 5U);
  EXPECT_EQ(reached({7, 0, 6}), 6U);
  EXPECT_EQ(reached({9, 8, 1, 2}), 2U);
  EXPECT_EQ(reached({9, 8, 1, 2, 3}), 3U);
}

TEST(Membership, ChangesOneAtATimeAndFollowsACut) {
  Membership membership;
  EXPECT_TRUE(membership.members().empty());
  membership.Add(Lsn{1}, {{kA}});
  membership.Add(Lsn{5}, {{kA, kB}});
  EXPECT_TRUE(membership.ChangePending(Lsn{4}));
  EXPECT_FALSE(membership.ChangePending(Lsn{5}));
  EXPECT_NE(membership.Find(kB.id), nullptr);
  membership.CutAfter(Lsn{4});
  EXPECT_EQ(membership.members(), Members{kA});
  membership.Add(Lsn{6}, {{kA, kC}});
  membership.Committed(Lsn{6});
  membership.CutAfter(Lsn{6});
  EXPECT_EQ(membership.members(), (Members{kA, kC}));
}

TEST(Membership, ANodeThatLostItsPoolTakesItsOwnPlace) {
  Membership membership;
  membership.Add(Lsn{1}, {{kA, kB, kC}});
  Member reborn = kC;
  reborn.id = kE.id;
  EXPECT_EQ(membership.Toward(reborn), (Members{kA, kB})) << "first the old one goes";
  membership.Add(Lsn{2}, {{kA, kB}});
  EXPECT_EQ(membership.Toward(reborn), (Members{kA, kB, reborn}));
  Member moved = kB;
  moved.port = 99;
  EXPECT_EQ(membership.Toward(moved), (Members{kA, moved}));
}

TEST(Membership, ReadsWhatItWroteAndNothingElse) {
  for (const FeatureLevel level : std::initializer_list<FeatureLevel>{1, 2, 7}) {
    const Configuration configuration{{kA, kB, kC}, level};
    const std::string text = Encode(configuration);
    EXPECT_EQ(DecodeConfiguration(text), configuration);
    for (std::size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(DecodeConfiguration(text.substr(0, size)));
    EXPECT_EQ(DecodeConfiguration(text + "x").has_value(), level > kHighestLevel);  // which may have more
  }
}

TEST(Membership, RemembersWhereItsHistoryHasForked) {
  const Fork first{Uuid{{1}}, End(1, 10)}, second{Uuid{{2}}, End(2, 20)};
  const Configuration configuration{{kA, kB}, kForksLevel, {first, second}};
  EXPECT_EQ(DecodeConfiguration(Encode(configuration)), configuration);
  Membership membership;
  membership.Add(Lsn{12}, configuration);
  membership.Rebase();
  EXPECT_EQ(membership.forks(), (Forks{first, second}));
  Forks many;
  for (std::uint8_t i = 0; i < kMaxForks + 3; ++i) many = WithFork(std::move(many), {Uuid{{i}}, End(i, i)});
  EXPECT_EQ(many.size(), kMaxForks);
  EXPECT_EQ(many.back().end, End(kMaxForks + 2, kMaxForks + 2));
  EXPECT_EQ(many.front().end, LogEnd{}) << "who knows none of them shares what was before the first";
  EXPECT_TRUE(Includes(many, {}));
  EXPECT_TRUE(Includes(many, {many[3]}));
  EXPECT_FALSE(Includes(many, {first}));
}

TEST(Membership, RemembersWhoWasLeftOutUntilItIsAMemberAgain) {
  Membership membership;
  membership.Add(Lsn{1}, {.members = {kA, kB, kC}, .level = kForksLevel});
  const Fork fork{Uuid{{1}}, End(1, 10)};
  const Configuration alone = membership.Alone(kA, kForksLevel, fork);
  EXPECT_EQ(alone, (Configuration{{kA}, kForksLevel, {fork}, {kB, kC}}));
  EXPECT_EQ(DecodeConfiguration(Encode(alone)), alone);
  EXPECT_EQ(membership.Alone(kA, kForksLevel - 1, fork), (Configuration{{kA}, kForksLevel - 1}));
  membership.Add(Lsn{11}, alone);
  EXPECT_EQ(membership.With({kA, kC}, kForksLevel), (Configuration{{kA, kC}, kForksLevel, {fork}, {kB}}));
  Member reborn = kB;
  reborn.id = kE.id;
  EXPECT_EQ(membership.With({kA, reborn}, kForksLevel).left_out, Members{kC}) << "B has lost its pool";
  for (std::uint8_t i = 0; i < kMaxMembers + 2; ++i) {
    Member other = kB;
    other.id = Uuid{{9, i}};
    other.port = static_cast<std::uint16_t>(2000 + i);
    membership.Add(Lsn{20U + i}, membership.With({kA, other}, kForksLevel));
    membership.Add(Lsn{20U + i}, membership.Alone(kA, kForksLevel, fork));
  }
  EXPECT_EQ(membership.left_out().size(), kMaxMembers);
  EXPECT_EQ(membership.left_out().back().port, 2000 + kMaxMembers + 1);
}

TEST(Membership, TwoHistoriesShareWhatIsBeforeTheFirstForkThatOneOfThemLacks) {
  const LogEnd all{Epoch{UINT64_MAX}, Lsn{UINT64_MAX}};
  const Fork f10{Uuid{{1}}, End(1, 10)}, f20{Uuid{{2}}, End(3, 20)}, f15{Uuid{{3}}, End(4, 15)};
  EXPECT_EQ(CommonHistory({}, {}), all);
  EXPECT_EQ(CommonHistory({f10, f20}, {f10, f20}), all);
  const auto both_ways = [](const Forks& a, const Forks& b) {
    EXPECT_EQ(CommonHistory(a, b), CommonHistory(b, a));
    return CommonHistory(a, b);
  };
  EXPECT_EQ(both_ways({}, {f10, f20}), End(1, 10));
  EXPECT_EQ(both_ways({f10}, {f10, f20}), End(3, 20));
  EXPECT_EQ(both_ways({f10, f15}, {f10, f20}), End(3, 15)) << "what is within both";
  EXPECT_EQ(both_ways({f10, f15}, {f20}), End(1, 10));
}

TEST(Membership, WhatWasCommittedInALaterEpochIsNotShared) {
  EXPECT_TRUE(IsWithin(End(2, 10), End(2, 10)));
  EXPECT_TRUE(IsWithin(End(2, 10), End(1, 3)));
  EXPECT_TRUE(IsWithin(End(2, 10), LogEnd{}));
  EXPECT_FALSE(IsWithin(End(2, 10), End(2, 11)));
  EXPECT_FALSE(IsWithin(End(2, 10), End(3, 9))) << "the forced node held batches that nobody had committed";
}

// What every release reads, to the bit.
TEST(Membership, OfLevel1IsWhatItWasBeforeThereWereLevels) {
  const Member member{NodeId{{1, 2}}, "host", 0x0102, 0x0304, 0x05060708};
  const std::string text = Encode({{member}, 1});
  const std::string id = std::string("\x01\x02", 2) + std::string(14, '\0');
  EXPECT_EQ(text,
            std::string("\x01\0", 2) + id + std::string("\x04\0host\x02\x01\x04\x03\x08\x07\x06\x05\0\0\0\0", 18));
}

// A later release has more fields.
TEST(Membership, PassesOverWhatItDoesNotKnowOfAMember) {
  std::string text = Encode({{kA, kB}, 2});
  const auto sizes = text.find(kA.host) - sizeof(std::uint16_t) - sizeof(NodeId) - sizeof(std::uint16_t);
  text[sizes] = static_cast<char>(text[sizes] + 3);
  text.insert(sizes + sizeof(std::uint16_t) + static_cast<std::size_t>(text[sizes]) - 3, "new");
  EXPECT_EQ(DecodeConfiguration(text), (Configuration{{kA, kB}, 2}));
}

TEST(Campaign, ANodeAloneWinsAtOnce) {
  Campaign campaign(kA, {kA}, Epoch{4}, End(4, 9), Epoch{});
  ASSERT_EQ(campaign.next(), Campaign::Next::kPromise);
  EXPECT_EQ(campaign.epoch(), Epoch{5});
  campaign.OnOwnPromise(End(4, 9), {});
  EXPECT_EQ(campaign.next(), Campaign::Next::kWon);
  EXPECT_EQ(campaign.best(), kA);
}

TEST(Campaign, AsksBeforeItRaisesTheEpoch) {
  const Members members{kA, kB, kC};
  Campaign campaign(kB, members, Epoch{4}, End(4, 9), Epoch{});
  EXPECT_EQ(campaign.next(), Campaign::Next::kAsk);
  campaign.OnState(kC.id, State(Epoch{6}, End(4, 9), members));
  ASSERT_EQ(campaign.next(), Campaign::Next::kPromise);
  EXPECT_EQ(campaign.epoch(), Epoch{7}) << "beyond every promise it heard of";
}

TEST(Campaign, FollowsALivingPrimary) {
  const Members members{kA, kB, kC};
  Campaign campaign(kB, members, Epoch{4}, End(4, 9), Epoch{});
  campaign.OnState(kA.id, State(Epoch{4}, End(4, 9), members, true));
  EXPECT_EQ(campaign.next(), Campaign::Next::kFollow);
  EXPECT_EQ(campaign.primary(), kA);
}

TEST(Campaign, WaitsForALeaseUnlessThePrimaryHandsOver) {
  const Members members{kA, kB, kC};
  Campaign campaign(kB, members, Epoch{4}, End(4, 9), Epoch{});
  campaign.OnState(kC.id, State(Epoch{4}, End(4, 9), members, false, true));
  EXPECT_EQ(campaign.next(), Campaign::Next::kAsk);
  campaign.OnState(kC.id, State(Epoch{4}, End(4, 9), members, false, false));
  EXPECT_EQ(campaign.next(), Campaign::Next::kPromise);

  // Its own: it was the primary, and was started again.
  for (const NodeId& holder : {kB.id, kA.id, NodeId{}}) {
    Campaign back(kB, members, Epoch{4}, End(4, 9), Epoch{});
    PeerState state = State(Epoch{4}, End(4, 9), members, false, true);
    state.lease_holder = holder;
    back.OnState(kC.id, state);
    EXPECT_EQ(back.next(), holder == kB.id ? Campaign::Next::kPromise : Campaign::Next::kAsk);
  }

  Campaign heir(kB, members, Epoch{4}, End(4, 9), Epoch{4});
  heir.OnState(kA.id, State(Epoch{4}, End(4, 9), members, true, true));
  EXPECT_EQ(heir.next(), Campaign::Next::kPromise);
}

TEST(Campaign, TakesTheBestLogOfItsMajority) {
  const Members members{kA, kB, kC};
  Campaign campaign(kB, members, Epoch{4}, End(4, 9), Epoch{});
  campaign.OnState(kC.id, State(Epoch{4}, End(4, 12), members));
  campaign.OnOwnPromise(End(4, 9), {});
  EXPECT_EQ(campaign.next(), Campaign::Next::kPromise);
  campaign.OnPromise(kC.id, Grant(campaign.epoch(), End(4, 12), members));
  ASSERT_EQ(campaign.next(), Campaign::Next::kWon);
  EXPECT_EQ(campaign.best(), kC);
  EXPECT_EQ(campaign.best_end(), End(4, 12));
}

TEST(Campaign, ALaterEpochBeatsALongerLog) {
  const Members members{kA, kB, kC};
  Campaign campaign(kB, members, Epoch{5}, End(4, 90), Epoch{});
  campaign.OnState(kC.id, State(Epoch{5}, End(5, 10), members));
  campaign.OnOwnPromise(End(4, 90), {});
  campaign.OnPromise(kC.id, Grant(campaign.epoch(), End(5, 10), members));
  EXPECT_EQ(campaign.best(), kC);
}

TEST(Campaign, ARefusalSendsItBackToAskAndTheEpochGrows) {
  const Members members{kA, kB, kC};
  Campaign campaign(kB, members, Epoch{4}, End(4, 9), Epoch{});
  campaign.OnState(kC.id, State(Epoch{4}, End(4, 9), members));
  campaign.OnOwnPromise(End(4, 9), {});
  const Epoch first = campaign.epoch();
  campaign.OnPromise(kC.id,
                     {.granted = false, .refusal = Refusal::kOldEpoch, .promised = Epoch{9}, .end = {}, .members = {}});
  ASSERT_EQ(campaign.next(), Campaign::Next::kAsk);
  EXPECT_NE(campaign.Obstacle().find("127.0.0.1:7003 refuses"), std::string::npos);
  campaign.OnState(kC.id, State(Epoch{9}, End(4, 9), members));
  EXPECT_EQ(campaign.epoch(), Epoch{10});
  campaign.OnPromise(kC.id, Grant(first, End(4, 9), members));
  EXPECT_EQ(campaign.next(), Campaign::Next::kPromise) << "an answer to an earlier question counts for nothing";
}

// A node that missed two changes of the membership would find a "majority" that shares nobody with the true one.
TEST(Campaign, AMajorityOfOutdatedMembersDecidesNothing) {
  const Members old{kA, kB, kC};
  const Members now{kA, kB, kC, kD, kE};
  Campaign campaign(kB, old, Epoch{4}, End(4, 9), Epoch{});
  campaign.OnState(kC.id, State(Epoch{4}, End(4, 12), now));
  EXPECT_EQ(campaign.next(), Campaign::Next::kAsk) << "two of five";
  EXPECT_EQ(campaign.members(), now);
  campaign.OnState(kD.id, State(Epoch{4}, End(4, 12), now));
  ASSERT_EQ(campaign.next(), Campaign::Next::kPromise);
  campaign.OnOwnPromise(End(4, 9), {});
  campaign.OnPromise(kC.id, Grant(campaign.epoch(), End(4, 12), now));
  EXPECT_EQ(campaign.next(), Campaign::Next::kPromise) << "two of five";
  campaign.OnPromise(kD.id, Grant(campaign.epoch(), End(4, 12), now));
  EXPECT_EQ(campaign.next(), Campaign::Next::kWon);
}

TEST(Campaign, WhoBecomesUnreachableCountsNoMore) {
  const Members members{kA, kB, kC};
  Campaign campaign(kB, members, Epoch{4}, End(4, 9), Epoch{});
  campaign.OnState(kC.id, State(Epoch{4}, End(4, 9), members));
  campaign.OnOwnPromise(End(4, 9), {});
  campaign.OnUnreachable(kC.id);
  EXPECT_EQ(campaign.next(), Campaign::Next::kAsk);
}

}  // namespace
}  // namespace faha
