#include "log/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/checksum.h"
#include "base/mutant.h"
#include "base/uuid.h"
#include "base/zeros.h"
#include "log/batch.h"

namespace faha {
namespace {

using format::SegmentEntry;
using format::Superblock;

template <typename T>
T LoadFrom(const Media& media, std::uint64_t offset) {
  T value;
  std::memcpy(&value, media.bytes().data() + offset, sizeof value);
  return value;
}

std::uint64_t SuperblockChecksum(const Superblock& super) {
  return Checksum(std::as_bytes(std::span(&super, 1)).first(offsetof(Superblock, checksum)));
}

// Converts the bytes `old` of a superblock of version 2 to the form of this version; nothing if it is not whole.
std::optional<Superblock> FromUnkeyed(const Superblock& old) {
  const auto bytes = std::as_bytes(std::span(&old, 1));
  std::uint64_t checksum = 0;
  std::memcpy(&checksum, bytes.data() + format::kUnkeyedSuperblockChecksum, sizeof checksum);
  if (Checksum(bytes.first(format::kUnkeyedSuperblockChecksum)) != checksum) return std::nullopt;
  Superblock super{};
  std::memcpy(&super, bytes.data(), format::kUnkeyedSuperblockBytes);
  return super;
}

std::uint64_t EntryChecksum(const SegmentEntry& entry, std::uint32_t index) {
  return Checksum(std::as_bytes(std::span(&entry, 1)).first(offsetof(SegmentEntry, checksum)), index);
}

std::uint64_t EntryOffset(std::uint32_t index) { return format::kTableOffset + index * sizeof(SegmentEntry); }

std::uint64_t NewSeed() {
  const Uuid random = NewUuid();
  std::uint64_t seed = 0;
  std::memcpy(&seed, random.bytes.data(), sizeof seed);
  return seed;
}

Uuid ToUuid(const std::uint8_t (&bytes)[16]) {
  Uuid uuid;
  std::copy(std::begin(bytes), std::end(bytes), uuid.bytes.begin());
  return uuid;
}

void SetKey(Superblock& super, const LogKey& key) {
  super.log_key_seed = key.seed;
  super.log_key_mix = key.mix;
}

void FromUuid(const Uuid& uuid, std::uint8_t (&bytes)[16]) { std::copy(uuid.bytes.begin(), uuid.bytes.end(), bytes); }

Status CheckSegmentBytes(std::uint64_t segment_bytes) {
  if (segment_bytes < format::kMinSegmentBytes || segment_bytes > format::kMaxSegmentBytes ||
      !std::has_single_bit(segment_bytes)) {
    return {Code::kBadConfig, fmt::format("faha.segment-bytes {} is not usable: use a power of two from {} to {}",
                                          segment_bytes, format::kMinSegmentBytes, format::kMaxSegmentBytes)};
  }
  return Status::Ok();
}

std::uint32_t SegmentsThatFit(const Media& media, std::uint64_t segment_bytes) {
  return faha::SegmentsThatFit(media.bytes().size(), segment_bytes);
}
constexpr std::uint32_t kMinSegments = 5;  // two heads, and Log's reserve
constexpr std::uint32_t kMinGranule = 64;
constexpr std::uint32_t kMaxGranule = 64U << 10;

bool IsPossible(const Geometry& geometry) {
  return CheckSegmentBytes(geometry.segment_bytes).ok() && std::has_single_bit(geometry.granule) &&
         geometry.granule >= kMinGranule && geometry.granule <= kMaxGranule && geometry.segment_count >= kMinSegments;
}

Status TooSmall(std::uint64_t pool_bytes, std::uint64_t segment_bytes) {
  return {Code::kPoolSize,
          fmt::format("a pool of {} bytes is too small for {} segments of {}: raise faha.pool-bytes to {} at least, or "
                      "lower faha.segment-bytes",
                      pool_bytes, kMinSegments, segment_bytes, format::kDataOffset + kMinSegments * segment_bytes)};
}

}  // namespace

std::uint32_t SegmentsThatFit(std::uint64_t pool_bytes, std::uint64_t segment_bytes) {
  if (pool_bytes < format::kDataOffset) return 0;
  return static_cast<std::uint32_t>(std::min((pool_bytes - format::kDataOffset) / segment_bytes, format::kMaxSegments));
}

std::uint64_t ChosenSegmentBytes(std::uint64_t pool_bytes) {
  constexpr std::uint64_t kMost = 16ULL << 20, kWanted = 64;
  return std::clamp(std::bit_floor(pool_bytes / kWanted), format::kMinSegmentBytes, kMost);
}

Status CheckNewPool(std::uint64_t pool_bytes, std::uint64_t segment_bytes) {
  if (segment_bytes == 0) segment_bytes = ChosenSegmentBytes(pool_bytes);
  if (Status status = CheckSegmentBytes(segment_bytes); !status.ok()) return status;
  return SegmentsThatFit(pool_bytes, segment_bytes) < kMinSegments ? TooSmall(pool_bytes, segment_bytes) : Status::Ok();
}

ClusterId Pool::cluster() const { return ToUuid(super_.cluster); }
NodeId Pool::node() const { return ToUuid(super_.node); }
NodeId Pool::voted_for() const { return ToUuid(super_.voted_for); }
NodeId Pool::leader() const { return Epoch{super_.leader_epoch} == promised() ? ToUuid(super_.leader) : NodeId{}; }
LogKey Pool::log_key() const {
  if (Mutated(Mutant::kUnkeyedChecksum)) return {};
  return {super_.log_key_seed, super_.log_key_mix};
}
Geometry Pool::geometry() const {
  return {super_.segment_bytes, std::min(super_.segment_count, limit_), super_.granule};
}

Result<std::unique_ptr<Pool>> Pool::Open(std::unique_ptr<Media> media, std::uint64_t segment_bytes,
                                         std::uint64_t pool_bytes, FeatureLevel reads) {
  if (segment_bytes == 0) segment_bytes = ChosenSegmentBytes(media->bytes().size());
  std::unique_ptr<Pool> pool(new Pool(std::move(media), reads));
  Status status = pool->Load();
  // A header that cannot be read looks empty, but must not be taken for an empty one.
  if (Status bad = pool->HeaderHealth(); !bad.ok()) return bad;
  if (status.code() == Code::kBadPool && pool->NeverUsed(segment_bytes)) {
    status = pool->media_->Health();
    if (status.ok()) status = pool->Format(segment_bytes);
  }
  if (status.ok()) status = pool->Upgrade();
  if (status.ok()) status = pool->MendCopies();
  if (status.ok()) status = pool->Grow(pool_bytes);
  if (!status.ok()) return status;
  return pool;
}

// This must follow the checks of the superblock: a file that was cut short must not grow and look whole again.
// The medium is durably larger before the superblock says so; a crash in between leaves the pool as it was.
Status Pool::Grow(std::uint64_t bytes) {
  if (media_->bytes().size() < bytes) {
    if (Status status = media_->Grow(bytes); !status.ok()) return status;
  }
  const std::uint32_t count = SegmentsThatFit(*media_, super_.segment_bytes);
  if (count <= super_.segment_count) return Status::Ok();
  super_.segment_count = count;
  return WriteSuperblock();
}

// Both copies are made durable: an earlier release must not find a copy that it can read, and use that one.
Status Pool::Upgrade() {
  if (version_ == format::kPoolVersion) return Status::Ok();
  version_ = super_.version = format::kPoolVersion;
  super_.hash_seed = NewSeed();
  if (installing()) Claim(kUnknownClaim);
  if (Status status = WriteSuperblock(); !status.ok()) return status;
  return SettleCopies();
}

// Makes both copies say the same.  A crash between the two writes leaves an older copy, and so does every release
// before 0.3.0.
Status Pool::MendCopies() {
  const auto first = ReadCopy(0), second = ReadCopy(1);
  const auto meaning = [](Superblock super) {
    super.sequence = super.checksum = 0;
    return super;
  };
  copy_was_lost_ = !first || !second;
  if (copy_was_lost_) return WriteSuperblock();
  const Superblock a = meaning(*first), b = meaning(*second);
  return std::memcmp(&a, &b, sizeof a) == 0 ? Status::Ok() : WriteSuperblock();
}

Result<std::unique_ptr<Pool>> Pool::Inspect(std::unique_ptr<Media> media) {
  std::unique_ptr<Pool> pool(new Pool(std::move(media), kHighestLevel));
  if (Status status = pool->Load(); !status.ok()) return pool->Readable() ? status : pool->media_->Health();
  return pool;
}

Status Pool::HeaderHealth() const {
  const auto unreadable = media_->Unreadable();
  const bool in_header = !unreadable.empty() && unreadable.front().offset < format::kDataOffset;
  return in_header ? media_->Health() : Status::Ok();
}

bool Pool::Reads(const Superblock& super) const {
  return (super.version == format::kPoolVersion || super.version == format::kUnkeyedPoolVersion) &&
         super.features <= std::uint32_t{reads_} - kLowestLevel;
}

std::optional<Superblock> Pool::ReadCopy(std::uint32_t copy) const {
  const auto super = LoadFrom<Superblock>(*media_, copy * format::kSuperblockStride);
  if (super.magic != format::kPoolMagic || !Reads(super)) return std::nullopt;
  if (super.version == format::kUnkeyedPoolVersion) return FromUnkeyed(super);
  if (SuperblockChecksum(super) != super.checksum) return std::nullopt;
  return super;
}

// Was the copy written by a release that knows more?  Another version may keep its checksum elsewhere: only magic,
// version and features have the same place in every version.  Version 0 was never written: the copy is torn.
bool Pool::IsForeign(const Superblock& super) const {
  if (Reads(super) || super.version == 0) return false;
  return super.version != format::kPoolVersion || SuperblockChecksum(super) == super.checksum;
}

Status Pool::Load() {
  if (media_->bytes().size() < format::kDataOffset) {
    return {Code::kPoolSize,
            fmt::format(
                "the pool has {} bytes, less than its own header: restore it, or, if it was never used, remove it and "
                "raise faha.pool-bytes",
                media_->bytes().size())};
  }
  bool found = false;
  Status foreign;
  for (const std::uint32_t index : {0U, 1U}) {
    const auto copy = LoadFrom<Superblock>(*media_, index * format::kSuperblockStride);
    if (copy.magic != format::kPoolMagic) continue;
    if (IsForeign(copy)) {
      foreign = {Code::kPoolVersion,
                 fmt::format("the pool has format version {} and feature level {}, this release knows versions {} and "
                             "{} and levels up to {}: run the release that wrote it, or a later one{}; if "
                             "no other release was ever used here, the pool's first 8 KiB are damaged",
                             copy.version, std::uint64_t{copy.features} + kLowestLevel, format::kUnkeyedPoolVersion,
                             format::kPoolVersion, reads_, OrRaiseLevel(reads_))};
    }
    const auto whole = ReadCopy(index);
    if (!whole) continue;
    if (!found || whole->sequence > super_.sequence) super_ = *whole;
    found = true;
  }
  version_ = super_.version;
  if (!found && !foreign.ok()) return foreign;
  if (!found) {
    return {Code::kBadPool,
            "neither superblock copy is whole: this is not a FaHA pool, or it is damaged. A member of a cluster: move "
            "the file away and start the node with a replicaof line, never with an older copy of the file. A node that "
            "is alone: restore the file. No pool at all: set another faha.pool-path"};
  }
  if (!IsPossible(geometry())) {
    return {Code::kBadPool,
            fmt::format("the pool's superblock names {} segments of {} bytes and a granule of {}, which no pool has: "
                        "restore it",
                        super_.segment_count, super_.segment_bytes, super_.granule)};
  }
  if (super_.segment_count > SegmentsThatFit(*media_, super_.segment_bytes)) {
    return {Code::kBadPool,
            fmt::format("the pool's superblock names {} segments of {} bytes, but the file has {} bytes: it "
                        "was cut short; restore it",
                        super_.segment_count, super_.segment_bytes, media_->bytes().size())};
  }
  return Status::Ok();
}

// A pool that was only created, or whose very first format a crash interrupted, has no segment in use and no batch.
bool Pool::NeverUsed(std::uint64_t segment_bytes) const {
  const auto bytes = media_->bytes();
  if (!CheckSegmentBytes(segment_bytes).ok()) return IsZero(bytes.first(format::kDataOffset));
  if (!IsZero(bytes.subspan(format::kTableOffset, format::kDataOffset - format::kTableOffset))) return false;
  // Only a torn first superblock may stand before the table.
  const auto first = LoadFrom<Superblock>(*media_, 0);
  if (first.magic != 0 && first.magic != format::kPoolMagic) return false;
  for (std::uint32_t i = 0; i < SegmentsThatFit(*media_, segment_bytes); ++i) {
    if (!IsZero(bytes.subspan(format::kDataOffset + i * segment_bytes, sizeof(format::BatchHeader)))) return false;
  }
  return true;
}

Status Pool::Format(std::uint64_t segment_bytes) {
  if (Status status = CheckSegmentBytes(segment_bytes); !status.ok()) return status;
  const std::uint32_t count = SegmentsThatFit(*media_, segment_bytes);
  if (count < kMinSegments) return TooSmall(media_->bytes().size(), segment_bytes);
  super_ = {};
  super_.magic = format::kPoolMagic;
  super_.version = format::kPoolVersion;
  FromUuid(NewUuid(), super_.cluster);
  FromUuid(NewUuid(), super_.node);
  SetKey(super_, LogKey::New());
  super_.hash_seed = NewSeed();
  super_.segment_bytes = segment_bytes;
  super_.segment_count = count;
  super_.granule = media_->granule();
  return WriteSuperblock();
}

// A process may have written a copy and died before the copy was durable.  The other copy must not be rewritten until
// it is: a power failure could leave neither whole.
Status Pool::SettleCopies() {
  if (std::exchange(settled_, true)) return Status::Ok();
  media_->Landed(0, 2 * format::kSuperblockStride);
  return media_->Drain();
}

// Writes the superblock over the older copy.
Status Pool::WriteCopy() {
  ++super_.sequence;
  super_.checksum = SuperblockChecksum(super_);
  const std::uint64_t offset = super_.sequence % 2 == 0 ? 0 : format::kSuperblockStride;
  return media_->Write(offset, std::as_bytes(std::span(&super_, 1)));
}

// The write has happened once the first copy is durable.  The second copy is there in case the first is damaged, and
// becomes durable with the next drain.
Status Pool::WriteSuperblock() {
  if (Status status = SettleCopies(); !status.ok()) return status;
  if (Status status = WriteCopy(); !status.ok()) return status;
  if (Status status = media_->Drain(); !status.ok()) return status;
  settled_ = false;
  return WriteCopy();
}

// Both copies are made durable: an earlier release must not find a copy that it can read, and use that one.
Status Pool::RaiseLevel(FeatureLevel level) {
  FAHA_CHECK(level <= reads_, "what is written can be read");
  if (level <= this->level()) return Status::Ok();
  super_.features = std::uint32_t{level} - kLowestLevel;
  if (Status status = WriteSuperblock(); !status.ok()) return status;
  return SettleCopies();
}

Status Pool::SetPromise(Epoch epoch, NodeId voted_for) {
  super_.promised_epoch = epoch.value;
  FromUuid(voted_for, super_.voted_for);
  return WriteSuperblock();
}

Status Pool::SetLeader(Epoch epoch, NodeId leader) {
  if (epoch > promised()) {
    super_.promised_epoch = epoch.value;
    FromUuid(leader, super_.voted_for);
  }
  super_.leader_epoch = epoch.value;
  FromUuid(leader, super_.leader);
  return WriteSuperblock();
}

std::string_view Pool::note() const { return {super_.note, std::min<std::size_t>(super_.note_bytes, kMaxNote)}; }

Status Pool::SetNote(std::string_view note) {
  if (note.size() > kMaxNote) {
    return {Code::kTooLarge, fmt::format("a note of {} bytes is over the limit of {}", note.size(), kMaxNote)};
  }
  std::fill(std::begin(super_.note), std::end(super_.note), '\0');
  std::copy(note.begin(), note.end(), super_.note);
  super_.note_bytes = static_cast<std::uint16_t>(note.size());
  return WriteSuperblock();
}

Status Pool::NoteLog() {
  if (has_log()) return Status::Ok();
  super_.state |= format::kHasLog;
  return WriteSuperblock();
}

Status Pool::SetForkedOff(bool forked_off) {
  if (forked_off == this->forked_off()) return Status::Ok();
  super_.state ^= format::kForkedOff;
  return WriteSuperblock();
}

Status Pool::RecordDamage(LogEnd end) {
  if (damaged_at() != Lsn{} || installing()) return Status::Ok();
  super_.state |= format::kDamaged;
  Claim(end);
  return WriteSuperblock();
}

Status Pool::ForgetDamage() {
  if (damaged_at() == Lsn{}) return Status::Ok();
  super_.state &= ~format::kDamaged;
  Claim({});
  return WriteSuperblock();
}

Lsn Pool::damaged_at() const { return (super_.state & format::kDamaged) != 0 && !installing() ? claim().lsn : Lsn{}; }

void Pool::Claim(LogEnd end) {
  super_.claim_epoch = end.epoch.value;
  super_.claim_lsn = end.lsn.value;
}

Status Pool::BeginInstall(const Endpoint& source, LogEnd claim) {
  if (Status status = media_->DropUnreadable(); !status.ok()) return status;
  damage_ = Status::Ok();
  if (Status status = GoOnInstalling(source, claim); !status.ok()) return status;
  return ForgetSegments();
}

Status Pool::GoOnInstalling(const Endpoint& source, LogEnd claim) {
  Claim(installing() ? std::max(this->claim(), claim) : claim);
  super_.state = (super_.state | format::kInstalling) & ~format::kDamaged;
  SetSource(source);
  return WriteSuperblock();
}

void Pool::SetSource(const Endpoint& source) {
  const bool fits = source.host.size() <= sizeof super_.source_host;
  super_.source_port = fits ? source.port : std::uint16_t{0};
  super_.source_host_bytes = fits ? static_cast<std::uint16_t>(source.host.size()) : std::uint16_t{0};
  std::copy_n(source.host.begin(), super_.source_host_bytes, super_.source_host);
}

std::optional<Endpoint> Pool::InstallSource() const {
  if (!installing() || super_.source_port == 0 || super_.source_host_bytes > sizeof super_.source_host)
    return std::nullopt;
  return Endpoint{std::string(super_.source_host, super_.source_host_bytes), super_.source_port};
}

Status Pool::EndInstall() {
  super_.state &= ~format::kInstalling;
  Claim({});
  return WriteSuperblock();
}

Status Pool::ForgetSegments() {
  for (std::uint32_t i = 0; i < super_.segment_count; ++i) {
    // Also a front that is neither a batch nor erased: a scan asks such a segment what was committed.
    if (IsForgotten(i)) continue;
    if (Status status = ClearEntry(i); !status.ok()) return status;
  }
  return Status::Ok();
}

Status Pool::Adopt(ClusterId cluster, const Geometry& geometry, const LogKey& key, const Endpoint& source) {
  if (!IsPossible(geometry)) {
    return {Code::kPoolSize,
            fmt::format("the cluster's pools have {} segments of {} bytes and a granule of {}, which no pool has",
                        geometry.segment_count, geometry.segment_bytes, geometry.granule)};
  }
  if (geometry.segment_count > SegmentsThatFit(*media_, geometry.segment_bytes)) {
    return {
        Code::kPoolSize,
        fmt::format("the cluster's pools have {} segments of {} bytes, this one holds {}: raise faha.pool-bytes here",
                    geometry.segment_count, geometry.segment_bytes, SegmentsThatFit(*media_, geometry.segment_bytes))};
  }
  // A crash in between leaves a node of the old cluster that has given up its log, not a foreign log in the new one.
  super_.state = format::kInstalling;
  Claim({});
  SetSource(source);
  if (Status status = WriteSuperblock(); !status.ok()) return status;
  if (Status status = ForgetSegments(); !status.ok()) return status;
  FromUuid(cluster, super_.cluster);
  SetKey(super_, key);
  super_.segment_bytes = geometry.segment_bytes;
  super_.segment_count = SegmentsThatFit(*media_, geometry.segment_bytes);
  limit_ = UINT32_MAX;
  super_.granule = geometry.granule;
  super_.features = 0;
  super_.leader_epoch = 0;
  FromUuid(NodeId{}, super_.leader);
  return SetPromise(Epoch{}, NodeId{});
}

std::optional<SegmentEntry> Pool::ReadEntry(std::uint32_t index) const {
  const auto entry = LoadFrom<SegmentEntry>(*media_, EntryOffset(index));
  if (entry.generation == 0 || EntryChecksum(entry, index) != entry.checksum) return std::nullopt;
  return entry;
}

bool Pool::EntryIsDamaged(std::uint32_t index) const {
  const auto bytes = media_->bytes().subspan(EntryOffset(index), sizeof(SegmentEntry));
  return !IsZero(bytes) && !ReadEntry(index);
}

bool Pool::IsErased(std::uint32_t index) const {
  return IsZero(SegmentBytes(index).first(sizeof(format::BatchHeader)));
}

Status Pool::WriteEntry(std::uint32_t index, std::uint64_t generation, Lsn first_lsn, Head head) {
  SegmentEntry entry{.generation = generation,
                     .first_lsn = first_lsn.value,
                     .head = static_cast<std::uint32_t>(head),
                     .reserved = 0,
                     .checksum = 0};
  entry.checksum = EntryChecksum(entry, index);
  return media_->Write(EntryOffset(index), std::as_bytes(std::span(&entry, 1)));
}

Status Pool::EraseBatch(LogAddress at) {
  const format::BatchHeader none{};
  return media_->Write(at.value, std::as_bytes(std::span(&none, 1)));
}

Status Pool::EraseFrom(std::uint32_t index, std::uint64_t offset) {
  static constexpr std::array<std::byte, 65'536> kZeros{};
  for (std::uint64_t at = offset; at < super_.segment_bytes; at += kZeros.size()) {
    const std::size_t bytes = std::min<std::uint64_t>(kZeros.size(), super_.segment_bytes - at);
    Status status = media_->Write(SegmentStart(index).value + at, std::span(kZeros).first(bytes));
    if (!status.ok()) return status;
  }
  return Status::Ok();
}

Status Pool::ClearEntry(std::uint32_t index) {
  // The segment's first batch is erased, too: if the next entry is torn, a scan takes the first batch in its place.
  if (Status status = EraseBatch(SegmentStart(index)); !status.ok()) return status;
  const SegmentEntry empty{};
  if (Status status = media_->Write(EntryOffset(index), std::as_bytes(std::span(&empty, 1))); !status.ok())
    return status;
  return media_->Drain();
}

}  // namespace faha
