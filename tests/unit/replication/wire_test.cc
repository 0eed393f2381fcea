// Messages: what one node writes another reads, and nothing else is a message.
#include "replication/wire.h"

#include <gtest/gtest.h>

#include <random>

namespace faha {
namespace {

const Member kMember{NodeId{{1, 2, 3}}, "127.0.0.1", 17001, 7001};

template <typename Message>
void ReadsBackAndRefusesWhatIsShorter(const Message& message) {
  const auto bytes = wire::Encode(message);
  EXPECT_EQ(wire::TypeOf(bytes), Message::kType);
  const auto read = wire::Decode<Message>(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(wire::Encode(*read), bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(wire::Decode<Message>(std::span(bytes).first(size)).has_value());
  }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  const auto of_a_later_release = wire::Decode<Message>(longer);
  ASSERT_TRUE(of_a_later_release.has_value());
  EXPECT_EQ(wire::Encode(*of_a_later_release), bytes);
}

TEST(Wire, EveryMessageReadsBack) {
  ReadsBackAndRefusesWhatIsShorter(wire::StateReply{
      kMember.id, true, false, Epoch{3}, {Epoch{2}, Lsn{7}}, kMember, {kMember, kMember}, false, kMember.id});
  ReadsBackAndRefusesWhatIsShorter(wire::PromiseRequest{ClusterId{{9}}, Epoch{4}, kMember, Epoch{3}});
  ReadsBackAndRefusesWhatIsShorter(
      wire::PromiseReply{kMember.id, true, 2, Epoch{3}, {Epoch{2}, Lsn{7}}, {kMember}, false});
  ReadsBackAndRefusesWhatIsShorter(wire::FollowReply{5, "why", kMember, ClusterId{{9}}, 1 << 20, 64, 4096, Epoch{3},
                                                     Lsn{8}, true, 77, 1, LogKey{5, 6}});
  ReadsBackAndRefusesWhatIsShorter(wire::DataHello{77});
  ReadsBackAndRefusesWhatIsShorter(wire::Batch{Epoch{3}, LogAddress{4096}, Lsn{8}});
  ReadsBackAndRefusesWhatIsShorter(wire::Ack{Epoch{3}, Lsn{8}, Lsn{7}});
  ReadsBackAndRefusesWhatIsShorter(wire::HeartbeatAck{Epoch{3}, 123456, 789, false});
  ReadsBackAndRefusesWhatIsShorter(wire::HandOver{Epoch{3}});
  ReadsBackAndRefusesWhatIsShorter(wire::Committed{Epoch{3}, Lsn{8}});
  ReadsBackAndRefusesWhatIsShorter(wire::Gap{Epoch{3}, Lsn{8}});
}

// 0.2.0 sends no more than the cluster.
TEST(Wire, AQuestionOfAnEarlierReleaseIsRead) {
  const wire::StateRequest now{ClusterId{{9}}, Epoch{3}, kMember};
  const auto bytes = wire::Encode(now);
  const auto read = wire::Decode<wire::StateRequest>(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->promised, now.promised);
  EXPECT_EQ(read->primary, now.primary);
  const std::size_t of_cluster = wire::Encode(wire::HandOver{}).size() - sizeof(Epoch) + sizeof(ClusterId);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto shorter = wire::Decode<wire::StateRequest>(std::span(bytes).first(size));
    ASSERT_EQ(shorter.has_value(), size == of_cluster || size == of_cluster + sizeof(Epoch)) << size;
    EXPECT_TRUE(!shorter || shorter->primary.id.IsNone());
  }
}

// 0.2.0 sends a request to follow without what was added since.
TEST(Wire, ARequestToFollowOfAnEarlierReleaseIsRead) {
  const wire::FollowRequest now{ClusterId{{9}},
                                kMember,
                                true,
                                false,
                                Epoch{3},
                                true,
                                2,
                                {{Lsn{8}, 11}, {Lsn{7}, 12}},
                                3,
                                {{Uuid{{4}}, {Epoch{1}, Lsn{5}}}},
                                {Epoch{2}, Lsn{7}},
                                Epoch{2}};
  const auto bytes = wire::Encode(now);
  const auto read = wire::Decode<wire::FollowRequest>(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->forks, now.forks);
  EXPECT_EQ(wire::Encode(*read), bytes);
  const std::size_t of_oldest = sizeof(Epoch), of_written = of_oldest + sizeof(LogEnd);
  const std::size_t added = of_written + sizeof(std::uint16_t) + sizeof(Uuid) + sizeof(LogEnd);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto shorter = wire::Decode<wire::FollowRequest>(std::span(bytes).first(size));
    const std::size_t lacks = bytes.size() - size;
    ASSERT_EQ(shorter.has_value(), lacks == added || lacks == of_written || lacks == of_oldest) << size;
    EXPECT_TRUE(!shorter || lacks < of_written || shorter->written == LogEnd{});
  }
}

// 0.2.0 sends a heartbeat without what was added since.
TEST(Wire, AHeartbeatOfAnEarlierReleaseIsRead) {
  const wire::Heartbeat now{Epoch{3}, Lsn{8}, 123456, 789, false};
  const auto bytes = wire::Encode(now);
  const auto read = wire::Decode<wire::Heartbeat>(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_FALSE(read->reached);
  EXPECT_EQ(wire::Encode(*read), bytes);
  const auto earlier = wire::Decode<wire::Heartbeat>(std::span(bytes).first(bytes.size() - 1));
  ASSERT_TRUE(earlier.has_value());
  EXPECT_TRUE(earlier->reached);
  EXPECT_EQ(earlier->echo, 789U);
  for (std::size_t size = 0; size + 1 < bytes.size(); ++size) {
    EXPECT_FALSE(wire::Decode<wire::Heartbeat>(std::span(bytes).first(size)).has_value());
  }
}

TEST(Wire, GarbageIsNoMessageAndDoesNoHarm) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 200'000; ++i) {
    std::vector<std::byte> bytes(random() % 200);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    if (!bytes.empty()) bytes[0] = static_cast<std::byte>(random() % 14);
    (void)wire::Decode<wire::StateReply>(bytes);
    (void)wire::Decode<wire::FollowRequest>(bytes);
    (void)wire::Decode<wire::FollowReply>(bytes);
    (void)wire::Decode<wire::PromiseReply>(bytes);
  }
}

}  // namespace
}  // namespace faha
