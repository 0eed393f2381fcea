// A hostile client that knows the format and not the pool: its values hold batches, one behind the other, made with the
// keys that it can guess.  What it writes stays in segments that are used again, so later generations are named, too.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "log/batch.h"
#include "log/segments.h"

namespace faha {

class Forger {
 public:
  // Batches name the generations up to `generations`, and LSNs from `next` on.
  explicit Forger(std::vector<LogKey> guesses, std::uint64_t generations = 100, Lsn next = Lsn{1})
      : guesses_(std::move(guesses)), generations_(generations), next_(next) {}

  // What somebody can think of who is shown no more than INFO: no key, and the names of the cluster and the node.
  static std::vector<LogKey> Guesses(const ClusterId& cluster, const NodeId& node) {
    return {LogKey{}, FromName(cluster), FromName(node)};
  }

  // A value of `bytes`, which begins with `prefix`, for a record with `key`: where that stands first in a batch, each
  // line of 64 bytes of the medium that the value fills starts a batch or is the record in one.
  [[nodiscard]] std::string Value(std::string prefix, std::string_view key, bool expires, std::size_t bytes,
                                  std::mt19937_64& random) const {
    const std::size_t before = sizeof(format::RecordHeader) + (expires ? 8 : 0) + key.size() + prefix.size();
    // Where others stand before it, any start is as good.
    prefix.append(random() % 4 == 0 ? random() % 8 * 8 : format::AlignUp(before, kLine) - before, '.');
    while (prefix.size() + 2 * kLine <= bytes) prefix += Batch(random);
    return prefix;
  }

 private:
  static constexpr std::size_t kLine = 64;
  static_assert(sizeof(format::BatchHeader) == kLine);

  static LogKey FromName(const Uuid& id) {
    LogKey key;
    std::memcpy(&key, id.bytes.data(), sizeof key);
    return key;
  }

  // Everything in it is as it would be in a batch of a log that goes on for long.
  [[nodiscard]] std::string Batch(std::mt19937_64& random) const {
    BatchBuilder batch;
    if (random() % 8 == 0) batch.Add({.key = "forged", .value = std::string(random() % 40, 'f')});
    format::BatchHeader header{};
    header.flags = random() % 4 == 0 ? format::kColdHead : std::uint16_t{0};
    header.lsn = random() % 4 == 0 ? next_.value + random() % 100 : format::kMaxLsn - random() % 100;
    header.epoch = random() % 2 == 0 ? 1 + random() % 5 : UINT64_MAX;
    header.committed = header.lsn - 1;
    header.generation = 1 + random() % generations_;
    const auto bytes = batch.Seal(header, kLine, guesses_[random() % guesses_.size()]);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::vector<LogKey> guesses_;
  std::uint64_t generations_;
  Lsn next_;
};

}  // namespace faha
