// Writes the seeds of each target: seeds FOLDER makes FOLDER/peer, FOLDER/pool and FOLDER/land.
#include <filesystem>
#include <fstream>
#include <string>

#include "fabric/frame.h"
#include "replication/wire.h"
#include "tests/fuzz/image.h"

namespace faha::fuzz {
namespace {

using Bytes = std::vector<std::byte>;

void Save(const std::filesystem::path& folder, const std::string& name, const Bytes& bytes) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / name, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

Bytes After(std::initializer_list<int> first, std::span<const std::byte> rest = {}) {
  Bytes bytes;
  for (const int byte : first) bytes.push_back(static_cast<std::byte>(byte));
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  return bytes;
}

// A message alone, and in a frame.
template <typename Message>
void SaveMessage(const std::filesystem::path& folder, const Message& message) {
  const Bytes head = wire::Encode(message);
  const std::string name = "message" + std::to_string(static_cast<int>(Message::kType));
  Save(folder, name, After({0}, head));
  const FrameHeader header = MakeFrameHeader(head, 0);
  Bytes frame(sizeof header);
  std::memcpy(frame.data(), &header, sizeof header);
  frame.insert(frame.end(), head.begin(), head.end());
  Save(folder, name + "-framed", After({1, 255}, frame));
}

void SavePeer(const std::filesystem::path& folder, const Image& image) {
  const Member member{Uuid{{1, 2}}, "127.0.0.1", 17001, 7001};
  SaveMessage(folder, wire::StateRequest{Uuid{{3}}});
  SaveMessage(folder, wire::StateReply{.from = member.id, .primary = member, .members = {member, member}});
  SaveMessage(folder, wire::PromiseRequest{Uuid{{3}}, Epoch{4}, member, Epoch{3}});
  SaveMessage(folder, wire::PromiseReply{.from = member.id, .granted = true, .members = {member}});
  SaveMessage(folder, wire::FollowRequest{.cluster = Uuid{{3}}, .self = member, .tail = {{Lsn{2}, 5}, {Lsn{1}, 6}}});
  SaveMessage(folder, wire::FollowReply{.text = "no", .primary = member, .segment_bytes = kSegment});
  SaveMessage(folder, wire::DataHello{7});
  SaveMessage(folder, wire::Batch{Epoch{1}, LogAddress{2}, Lsn{3}});
  SaveMessage(folder, wire::Ack{Epoch{1}, Lsn{2}});
  SaveMessage(folder, wire::Heartbeat{Epoch{1}, Lsn{2}, 3, 4});
  SaveMessage(folder, wire::HeartbeatAck{Epoch{1}, 2, 3});
  SaveMessage(folder, wire::HandOver{Epoch{1}});
  SaveMessage(folder, wire::Gap{Epoch{1}, Lsn{2}});
  SaveMessage(folder, wire::Committed{Epoch{1}, Lsn{2}});
  Save(folder, "handshake-accepting", After({3, 0, 65, 0x82}, Bytes(64)));
  Save(folder, "handshake-dialling", After({3, 1, 33, 0x81}, Bytes(32)));
  const auto& batch = image.batches[1].second;
  const auto save_records = [&](const std::string& name, const Bytes& of) {
    Save(folder, name, After({5}, std::span(of).subspan(sizeof(format::BatchHeader))));
  };
  save_records("records", batch);
  save_records("records-elements", image.elements().second);
  save_records("records-swap", image.batches.back().second);
  Save(folder, "batch", After({6}, batch));
  Save(folder, "batch-repaired", After({7}, batch));
}

}  // namespace
}  // namespace faha::fuzz

int main(int argc, char** argv) {
  using namespace faha::fuzz;
  if (argc != 2) return 1;
  const std::filesystem::path folder = argv[1];
  const Image image;
  SavePeer(folder / "peer", image);
  for (int flags = 0; flags < 4; ++flags) {
    Save(folder / "pool", "as-it-is" + std::to_string(flags), After({flags}));
    for (int place = 0; place < 11; ++place) {  // one patch, in each place: the byte 8 becomes 1
      Save(folder / "pool", "patch" + std::to_string(place) + "-" + std::to_string(flags),
           After({flags, place, 8, 0, 0, 1}));
    }
  }
  // In the batch with elements: a collection's name, the flags of a record, the value of the last key.
  for (int offset : {80, 90, 100, 120, 128, 136, 1100, 1180}) {
    Save(folder / "pool", "element" + std::to_string(offset),
         After({3, 4 + static_cast<int>(&image.elements() - image.batches.data()), offset & 255, offset >> 8, 0, 1}));
  }
  // Pairs of the batch's number and what is done to it: 0x40 a patch, 0x20 moved, 0x10 cut, 0x08 repaired.
  Save(folder / "land", "all", After({1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0}));
  Save(folder / "land", "bad-element", After({1, 0, 2, 0, 3, 0, 4, 0, 5, 0x48, 80, 0, 0, 9, 6, 8}));
  Save(folder / "land", "repaired", After({1, 8, 2, 0x48, 80, 0, 0, 9, 3, 8}));
  Save(folder / "land", "committed-ahead", After({1, 0x48, 31, 0, 0, 0x40}));
  Save(folder / "land", "no-permutation", After({1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0x48, 104, 0, 0, 9}));
  Save(folder / "land", "moved", After({1, 0x20, 64, 0, 0, 0}));
  Save(folder / "land", "short", After({1, 0x10, 64, 0}));
  return 0;
}
