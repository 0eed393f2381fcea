#include "tests/sim/values.h"

#include <algorithm>
#include <cstring>

#include "base/checksum.h"
#include "log/format.h"

namespace faha::sim {

namespace {

constexpr std::size_t kWord = 8;
// In the number of words of a value: what stands between its first two words and its last is anything at all, and the
// second word is its checksum.
constexpr std::uint64_t kForged = 1ULL << 31;
// Batches begin at a granule and values anywhere: copies that are so far apart stand at every place modulo a granule.
constexpr std::size_t kStride = sizeof(format::BatchHeader) + kWord;

std::uint64_t FirstWord(Value value, std::size_t words, bool forged) {
  return (std::uint64_t{words} | (forged ? kForged : 0)) << 32 | value;
}

void ForgeBatch(std::byte* at, std::mt19937_64& random) {
  format::BatchHeader header{};
  header.magic = format::kBatchMagic;
  header.version = format::kBatchVersion;
  header.flags = random() % 2 == 0 ? 0 : format::kColdHead;
  header.lsn = format::kMaxLsn - random() % 1000;
  header.epoch = 1 + random() % 8;
  header.committed = header.lsn - 1;
  header.generation = 1 + random() % 64;
  header.checksum = Checksum(std::as_bytes(std::span(&header, 1)).first(offsetof(format::BatchHeader, checksum)));
  std::memcpy(at, &header, sizeof header);
}

}  // namespace

std::string Content(Value value, std::size_t bytes) {
  const std::size_t words = std::max<std::size_t>(1, bytes / kWord);
  const std::uint64_t word = FirstWord(value, words, false);
  std::string content(words * kWord, '\0');
  for (std::size_t i = 0; i < words; ++i) std::memcpy(content.data() + i * kWord, &word, kWord);
  return content;
}

std::string ForgedContent(Value value, std::size_t bytes, std::span<const std::byte> disk, std::mt19937_64& random) {
  const std::size_t words = std::max<std::size_t>(3, bytes / kWord);
  std::string content(words * kWord, '\0');
  const std::uint64_t word = FirstWord(value, words, true);
  std::memcpy(content.data(), &word, kWord);
  std::memcpy(content.data() + content.size() - kWord, &word, kWord);
  const auto middle = std::as_writable_bytes(std::span(content)).subspan(2 * kWord, (words - 3) * kWord);
  if (random() % 4 == 0 && disk.size() > format::kDataOffset + middle.size()) {
    const auto data = disk.subspan(format::kDataOffset);
    const std::size_t from = random() % (data.size() - middle.size()) / kWord * kWord;
    std::copy_n(data.data() + from, middle.size(), middle.data());
  } else {
    for (std::size_t at = 0; at + sizeof(format::BatchHeader) <= middle.size(); at += kStride) {
      ForgeBatch(middle.data() + at, random);
    }
  }
  const std::uint64_t sum = Checksum(middle);
  std::memcpy(content.data() + kWord, &sum, kWord);
  return content;
}

std::optional<Value> ValueOf(std::string_view content) {
  if (content.size() < kWord || content.size() % kWord != 0) return std::nullopt;
  std::uint64_t first = 0, last = 0, sum = 0;
  std::memcpy(&first, content.data(), kWord);
  std::memcpy(&last, content.data() + content.size() - kWord, kWord);
  if (first != last) return std::nullopt;
  const std::uint64_t words = first >> 32;
  if ((words & ~kForged) != content.size() / kWord) return std::nullopt;
  if ((words & kForged) != 0) {
    std::memcpy(&sum, content.data() + kWord, kWord);
    const auto middle = std::as_bytes(std::span(content)).subspan(2 * kWord, content.size() - 3 * kWord);
    if (Checksum(middle) != sum) return std::nullopt;
  } else if (std::memcmp(content.data(), content.data() + kWord, content.size() - kWord) != 0) {
    return std::nullopt;
  }
  return static_cast<Value>(first);
}

}  // namespace faha::sim
