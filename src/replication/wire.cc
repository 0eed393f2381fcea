#include "replication/wire.h"

#include "base/bytes.h"
#include "base/member_codec.h"

namespace faha::wire {
namespace {

// One list of fields per message serves both directions: io(field, ...) writes or reads each.
class Out {
 public:
  explicit Out(ByteWriter* bytes) : bytes_(bytes) {}
  template <typename... Field>
  void operator()(Field&... fields) {
    (One(fields), ...);
  }
  template <typename Field>
  void Later(Field& field) {
    One(field);
  }

 private:
  void One(const bool& v) { bytes_->U8(v ? 1 : 0); }
  void One(const std::uint8_t& v) { bytes_->U8(v); }
  void One(const std::uint16_t& v) { bytes_->U16(v); }
  void One(const std::uint32_t& v) { bytes_->U32(v); }
  void One(const std::uint64_t& v) { bytes_->U64(v); }
  void One(const Lsn& v) { bytes_->U64(v.value); }
  void One(const Epoch& v) { bytes_->U64(v.value); }
  void One(const LogAddress& v) { bytes_->U64(v.value); }
  void One(const Uuid& v) { bytes_->Id(v); }
  void One(const std::string& v) { bytes_->String(std::string_view(v).substr(0, kMaxText)); }
  void One(const LogEnd& v) { (One(v.epoch), One(v.lsn)); }
  void One(const Member& v) { WriteSizedMember(*bytes_, v); }
  void One(const Members& v) { WriteMembers(*bytes_, v, WriteSizedMember); }
  void One(const LogKey& v) { (One(v.seed), One(v.mix)); }
  void One(const Forks& v) { WriteForks(*bytes_, v); }
  void One(const std::vector<TailBatch>& v) {
    FAHA_CHECK(v.size() <= kMaxTail, "a tail is bounded");
    bytes_->U16(static_cast<std::uint16_t>(v.size()));
    for (const TailBatch& batch : v) (One(batch.lsn), One(batch.checksum));
  }

  ByteWriter* bytes_;
};

class In {
 public:
  explicit In(ByteReader* bytes) : bytes_(bytes) {}
  template <typename... Field>
  void operator()(Field&... fields) {
    ok_ = ok_ && (One(fields) && ...);
  }
  // Reads a field that earlier releases do not send; if it is missing, the field keeps its value.
  template <typename Field>
  void Later(Field& field) {
    ok_ = ok_ && (bytes_->remaining() == 0 || One(field));
  }
  // Bytes that are left over come from a later release and are no error.
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  bool One(bool& v) {
    std::uint8_t byte = 0;
    if (!bytes_->U8(byte) || byte > 1) return false;
    v = byte == 1;
    return true;
  }
  bool One(std::uint8_t& v) { return bytes_->U8(v); }
  bool One(std::uint16_t& v) { return bytes_->U16(v); }
  bool One(std::uint32_t& v) { return bytes_->U32(v); }
  bool One(std::uint64_t& v) { return bytes_->U64(v); }
  bool One(Lsn& v) { return bytes_->U64(v.value); }
  bool One(Epoch& v) { return bytes_->U64(v.value); }
  bool One(LogAddress& v) { return bytes_->U64(v.value); }
  bool One(Uuid& v) { return bytes_->Id(v); }
  bool One(std::string& v) { return bytes_->String(v, kMaxText); }
  bool One(LogEnd& v) { return One(v.epoch) && One(v.lsn); }
  bool One(Member& v) { return ReadSizedMember(*bytes_, v); }
  bool One(Members& v) { return ReadMembers(*bytes_, v, ReadSizedMember); }
  bool One(LogKey& v) { return One(v.seed) && One(v.mix); }
  bool One(Forks& v) { return ReadForks(*bytes_, v); }
  bool One(std::vector<TailBatch>& v) {
    std::uint16_t count = 0;
    if (!bytes_->U16(count) || count > kMaxTail) return false;
    v.resize(count);
    for (TailBatch& batch : v) {
      if (!One(batch.lsn) || !One(batch.checksum)) return false;
    }
    return true;
  }

  ByteReader* bytes_;
  bool ok_ = true;
};

}  // namespace

std::optional<Type> TypeOf(std::span<const std::byte> head) {
  if (head.empty()) return std::nullopt;
  const auto type = std::to_integer<std::uint8_t>(head.front());
  if (type < static_cast<std::uint8_t>(Type::kStateRequest) || type > static_cast<std::uint8_t>(Type::kCommitted)) {
    return std::nullopt;
  }
  return static_cast<Type>(type);
}

template <typename Message>
std::vector<std::byte> Encode(const Message& message) {
  ByteWriter bytes;
  bytes.U8(static_cast<std::uint8_t>(Message::kType));
  Out out(&bytes);
  Message copy = message;  // Fields serves reading as well, so it is not const
  copy.Fields(out);
  return {bytes.bytes().begin(), bytes.bytes().end()};
}

template <typename Message>
std::optional<Message> Decode(std::span<const std::byte> head) {
  if (TypeOf(head) != Message::kType) return std::nullopt;
  ByteReader bytes(head.subspan(1));
  In in(&bytes);
  Message message;
  message.Fields(in);
  if (!in.ok()) return std::nullopt;
  return message;
}

#define FAHA_WIRE_MESSAGE(Message)                                 \
  template std::vector<std::byte> Encode<Message>(const Message&); \
  template std::optional<Message> Decode<Message>(std::span<const std::byte>)
FAHA_WIRE_MESSAGE(StateRequest);
FAHA_WIRE_MESSAGE(StateReply);
FAHA_WIRE_MESSAGE(PromiseRequest);
FAHA_WIRE_MESSAGE(PromiseReply);
FAHA_WIRE_MESSAGE(FollowRequest);
FAHA_WIRE_MESSAGE(FollowReply);
FAHA_WIRE_MESSAGE(DataHello);
FAHA_WIRE_MESSAGE(Batch);
FAHA_WIRE_MESSAGE(Ack);
FAHA_WIRE_MESSAGE(Heartbeat);
FAHA_WIRE_MESSAGE(HeartbeatAck);
FAHA_WIRE_MESSAGE(HandOver);
FAHA_WIRE_MESSAGE(Gap);
FAHA_WIRE_MESSAGE(Committed);
#undef FAHA_WIRE_MESSAGE

}  // namespace faha::wire
