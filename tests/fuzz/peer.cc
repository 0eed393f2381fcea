// Whatever bytes a peer sends: every decoder returns, and what it accepts is written back as the same bytes.
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "base/bytes.h"
#include "base/check.h"
#include "base/member_codec.h"
#include "fabric/frame.h"
#include "fabric/handshake.h"
#include "fabric/inbox.h"
#include "fabric/tls_channel.h"
#include "log/batch.h"
#include "replication/wire.h"
#include "tests/fuzz/input.h"

namespace faha::fuzz {
namespace {

template <typename Message>
void TryMessage(std::span<const std::byte> bytes) {
  const auto message = wire::Decode<Message>(bytes);
  if (!message) return;
  FAHA_CHECK(wire::TypeOf(bytes) == Message::kType, "a message has its type");
  // It may have had more fields than are known here, which are gone, or members of a release that knew fewer.
  const auto known = wire::Encode(*message);
  const auto again = wire::Decode<Message>(known);
  FAHA_CHECK(again && wire::Encode(*again) == known, "it reads what it writes");
}

template <typename... Message>
void TryAll(std::span<const std::byte> bytes) {
  (TryMessage<Message>(bytes), ...);
}

void TryMessages(std::span<const std::byte> bytes) {
  TryAll<wire::StateRequest, wire::StateReply, wire::PromiseRequest, wire::PromiseReply, wire::FollowRequest,
         wire::FollowReply, wire::DataHello, wire::Batch, wire::Ack, wire::Heartbeat, wire::HeartbeatAck,
         wire::HandOver, wire::Gap, wire::Committed>(bytes);
}

// A stream, in pieces of any size.
void TryFrames(Input input) {
  constexpr std::uint32_t kMaxBody = 4096;
  Inbox inbox;
  while (!input.empty()) {
    const auto space = inbox.Space();
    const auto piece = input.Bytes(std::min<std::size_t>(input.Take<std::uint8_t>() + 1U, space.size()));
    std::copy(piece.begin(), piece.end(), space.begin());
    inbox.Filled(piece.size());
    Inbox::Frame frame;
    FrameState state = FrameState::kFrame;
    while ((state = inbox.Take(kMaxBody, frame)) == FrameState::kFrame) {
      FAHA_CHECK(frame.head.size() <= kMaxFrameHeadBytes && frame.body.size() <= kMaxBody, "a frame is bounded");
      TryMessages(frame.head);
    }
    if (state == FrameState::kIncomplete) continue;
    FAHA_CHECK(!DescribeFault(state, "peer", inbox.version(), kMaxBody).ok(), "a fault is an error");
    return;
  }
}

// As the frames parser, with a header that is right for the head.
void TryFramed(std::span<const std::byte> head) {
  head = head.first(std::min(head.size(), kMaxFrameHeadBytes));
  const FrameHeader made = MakeFrameHeader(head, 0);
  std::vector<std::byte> bytes(sizeof made);
  std::memcpy(bytes.data(), &made, sizeof made);
  bytes.insert(bytes.end(), head.begin(), head.end());
  FrameHeader header;
  std::span<const std::byte> parsed;
  FAHA_CHECK(ParseFrameHead(bytes, header, parsed) == FrameState::kFrame, "what was framed is a frame");
  TryMessages(parsed);
}

// Who does not know the secret is refused, on either side.
void TryHandshake(Input input) {
  Handshake handshake("secret", input.Take<std::uint8_t>() % 2 == 0);
  (void)handshake.Challenge();
  while (!input.empty()) {
    const auto head = input.Bytes(input.Take<std::uint8_t>());
    (void)Handshake::IsChallenge(head);
    (void)handshake.Answer(head);
  }
  FAHA_CHECK(handshake.state() != Handshake::State::kDone, "a guess is no proof");
}

// Who has no certificate is refused, on either side, whatever it says in TLS or instead of it.
void TryTls(Input input) {
  static SSL_CTX* const context = SSL_CTX_new(TLS_method());
  int ends[2];
  FAHA_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0, "there are descriptors");
  TlsChannel channel(context, input.Take<std::uint8_t>() % 2 == 0);
  FAHA_CHECK(channel.Send(ends[0], {}) == 0, "nothing was to be sent");
  bool going = true;
  while (going && !input.empty()) {
    const auto bytes = input.Bytes(1U + input.Take<std::uint8_t>());
    (void)!::write(ends[1], bytes.data(), bytes.size());
    std::array<std::byte, 64> space;
    do {
      const auto got = channel.Receive(ends[0], space);
      going = got.what == Channel::Received::What::kNothing;
      FAHA_CHECK(got.what != Channel::Received::What::kBytes && !channel.secured(), "a stranger is not heard");
    } while (going && channel.pending());
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

void TryMembers(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  Configuration configuration, again;
  if (!ReadConfiguration(reader, configuration)) return;
  ByteWriter writer;
  WriteConfiguration(writer, configuration);
  FAHA_CHECK(ReadConfiguration(ByteReader(writer.bytes()), again) && again == configuration, "it reads what it writes");
  if (configuration.level != kLowestLevel) return;
  FAHA_CHECK(std::ranges::equal(writer.bytes(), bytes), "members of level 1 have one form");
}

void TryRecords(std::span<const std::byte> bytes) {
  while (const auto record = ParseRecord(bytes)) {
    const auto* end = reinterpret_cast<const char*>(bytes.data() + bytes.size());
    FAHA_CHECK(record->bytes <= bytes.size() && record->key.data() + record->key.size() <= end &&
                   record->value.data() + record->value.size() <= end,
               "a record lies within its bytes");
    bytes = bytes.subspan(record->bytes);
  }
}

void TryBatch(std::span<const std::byte> bytes, bool repair) {
  constexpr LogKey key{1, 2};
  std::vector<std::byte> copy(bytes.begin(), bytes.end());
  format::BatchHeader header;
  if (repair && copy.size() >= sizeof header) {  // whatever it says, the checksum holds
    std::memcpy(&header, copy.data(), sizeof header);
    header.magic = BatchMagic(key);
    header.version = format::kBatchVersion;
    header.payload_bytes = static_cast<std::uint32_t>(copy.size() - sizeof header);
    header.checksum = BatchChecksum(header, std::span(copy).subspan(sizeof header), key);
    std::memcpy(copy.data(), &header, sizeof header);
  }
  const auto view = BatchView::Parse(copy, key);
  if (view)
    (void)view->ForEach([](const Record& record, std::uint64_t) {
      (void)Uuid{};
      (void)record;
    });
}

}  // namespace
}  // namespace faha::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace faha::fuzz;
  Input input(data, size);
  switch (input.Take<std::uint8_t>() % 9) {
    case 0: TryMessages(input.Rest()); break;
    case 1: TryFrames(input); break;
    case 2: TryFramed(input.Rest()); break;
    case 3: TryHandshake(input); break;
    case 4: TryMembers(input.Rest()); break;
    case 5: TryRecords(input.Rest()); break;
    case 6: TryBatch(input.Rest(), false); break;
    case 7: TryBatch(input.Rest(), true); break;
    case 8: TryTls(input); break;
  }
  return 0;
}
