#include <cstring>
#include <memory>
#include <memory_resource>
#include <vector>

#include "base/checksum.h"
#include "bench/index/policy.h"
#include "keyspace/hot_tier.h"
#include "keyspace/indexes.h"

namespace faha::bench {
namespace {

// The real index and the real tier over records that are nothing but their numbers.  All memory of the tier counts:
// blocks with their heads, chunks that are not full, the ghost.
class FahaHotTier final : public Policy, private KeySource {
 public:
  FahaHotTier(std::uint64_t capacity, std::uint32_t keys)
      : index_(*this), tier_(&index_, std::pmr::get_default_resource()), hashes_(keys) {
    tier_.SetLimit(capacity);
  }

  bool Access(std::uint32_t key, std::uint32_t bytes) override {
    const Key name = NameOf(key);
    std::uint64_t& hash = hashes_[key];
    if (hash == 0) {
      hash = index_.Hash(name.db, name.key);
      index_.Upsert(hash, name.db, name.key, AddressOf(key));
    }
    const Place place = index_.Read(hash, name.db, name.key);
    tier_.Count(name.db, hash, place);
    if (place.hot()) return true;
    // A block has the size that the other policies count.
    if (record_.size() < bytes) record_.resize(bytes);
    tier_.Settle([&](LogAddress) { return std::span(record_).first(bytes - sizeof(HotBlock)); });
    return false;
  }

 private:
  static LogAddress AddressOf(std::uint32_t key) { return LogAddress{(std::uint64_t{key} + 1) * Place::kUnit}; }
  [[nodiscard]] Key NameOf(std::uint32_t key) const {
    number_ = key;
    return {0, {reinterpret_cast<const char*>(&number_), sizeof number_}};
  }
  [[nodiscard]] Key KeyAt(Place place) const override {
    found_ = static_cast<std::uint32_t>(place.log_address().value / Place::kUnit - 1);
    return {0, {reinterpret_cast<const char*>(&found_), sizeof found_}};
  }

  Indexes index_;
  HotTier tier_;
  std::vector<std::uint64_t> hashes_;
  std::vector<std::byte> record_;
  mutable std::uint32_t number_ = 0, found_ = 0;
};

}  // namespace

std::unique_ptr<Policy> MakeFahaHotTier(std::uint64_t capacity, std::uint32_t keys) {
  return std::make_unique<FahaHotTier>(capacity, keys);
}

}  // namespace faha::bench
