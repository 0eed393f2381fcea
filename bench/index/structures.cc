#include "bench/index/structures.h"

#include <sys/mman.h>

#include <cstring>
#include <span>
#include <utility>

#include "bench/index/measure.h"
#include "faha/media.h"

namespace faha::bench {
namespace {

constexpr std::uint64_t kSegmentBytes = 16ULL << 20;
constexpr std::uint64_t kBatchBytes = 64U << 10;
constexpr std::uint32_t kGranule = 64;

void Require(const Status& status) {
  if (!status.ok()) Die(status.ToString());
}

// Memory of this process, all of it there from the start, as a pool's is.
class AnonymousMedia final : public Media {
 public:
  explicit AnonymousMedia(std::uint64_t bytes) {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) Die("there is no memory for the log: lower --keys");
    memory_ = {static_cast<std::byte*>(memory), bytes};
  }
  ~AnonymousMedia() override { ::munmap(memory_.data(), memory_.size()); }
  AnonymousMedia(const AnonymousMedia&) = delete;
  AnonymousMedia& operator=(const AnonymousMedia&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const override { return memory_; }
  IoStatus Write(std::uint64_t offset, std::span<const std::byte> data) override {
    std::memcpy(memory_.data() + offset, data.data(), data.size());
    return IoStatus::Ok();
  }
  void Landed(std::uint64_t, std::size_t) override {}
  IoStatus Drain() override { return IoStatus::Ok(); }
  Status Grow(std::uint64_t) override { return Status::Ok(); }
  [[nodiscard]] PersistenceDomain domain() const override { return PersistenceDomain::kVolatile; }
  [[nodiscard]] std::uint32_t granule() const override { return kGranule; }

 private:
  std::span<std::byte> memory_;
};

// Every batch has a header and is padded; a few segments are to spare.
std::uint64_t PoolBytes(std::uint64_t records, std::size_t value_bytes) {
  const std::uint64_t bytes = records * format::RecordBytes(kKeyBytes, value_bytes, false);
  const std::uint64_t batches = bytes / (kBatchBytes / 2) + 1;
  return format::kDataOffset + bytes + batches * (sizeof(format::BatchHeader) + kGranule) + 8 * kSegmentBytes;
}

}  // namespace

LogKeyspace::LogKeyspace(std::uint64_t records, std::size_t value_bytes) {
  auto pool = Pool::Open(std::make_unique<AnonymousMedia>(PoolBytes(records, value_bytes)), kSegmentBytes);
  Require(pool.status());
  pool_ = std::move(pool.value());
  auto log = Log::Open(pool_.get(), [](LogLevel, std::string_view) {});
  Require(log.status());
  log_ = std::move(log.value());
  log_->SetEpoch(Epoch{1});
  engine_ = std::make_unique<Engine>(log_.get());
}

void LogKeyspace::Put(std::string_view key, std::string_view value) {
  if (const Status status = engine_->Put(0, key, {value}); !status.ok()) Die(status.ToString());
  log_->EndUnit();
}

void LogKeyspace::SealIfFull() {
  if (log_->OpenBatchBytes() >= kBatchBytes) Seal();
}

void LogKeyspace::Seal() {
  Require(log_->Seal());
  Require(log_->Drain());
  engine_->Committed(log_->end().lsn);
}

}  // namespace faha::bench
