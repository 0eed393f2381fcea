// The layout of a pool, which outlives the process.  Every struct is little-endian, has a fixed layout and is
// versioned; reserved bytes are zero.
//
//   0            superblock copy 0     the valid copy with the higher sequence counts
//   4 KiB        superblock copy 1
//   8 KiB        segment table         one entry for every segment in use
//   2 MiB        segment 0, 1, 2, ...  each a run of batches, each batch a header and its records
//
// There is no commit pointer: a batch exists when its checksum holds and its digest accounts for all batches that the
// log held before it.  Segments are used again without being wiped, so old bytes stand between batches, and clients'
// values are among them.  A value cannot pass for a batch: the magic and the checksum of a batch are made with the
// superblock's log_key, a random number that clients never see.  Only batches are keyed, because no value is ever
// written before byte 2 MiB.
//
// Version 3 has a larger superblock than version 2, and the log_key.  When a server opens a pool of version 2, it turns
// the pool into one of version 3 whose log_key is 0.  That key gives the magic and the checksums of version 2, so in
// such a pool values can still pass for batches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace faha::format {

inline constexpr std::uint64_t kPoolMagic = 0x4c4f4f5041484146;  // "FAHAPOOL"
inline constexpr std::uint32_t kPoolVersion = 3;
inline constexpr std::uint32_t kUnkeyedPoolVersion = 2;  // the only older one that is read
inline constexpr std::uint64_t kSuperblockStride = 4096;
inline constexpr std::uint64_t kTableOffset = 2 * kSuperblockStride;
inline constexpr std::uint64_t kDataOffset = 2ULL << 20;
inline constexpr std::uint64_t kMinSegmentBytes = 1ULL << 20;
inline constexpr std::uint64_t kMaxSegmentBytes = 1ULL << 30;

struct Superblock {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t features;  // the feature level that a reader must know, less kLowestLevel
  std::uint64_t sequence;  // grows with every write of a copy
  std::uint8_t cluster[16];
  std::uint8_t node[16];
  std::uint64_t segment_bytes;
  std::uint32_t segment_count;
  std::uint32_t granule;
  std::uint64_t promised_epoch;
  std::uint8_t voted_for[16];
  std::uint32_t state;        // kInstalling, kHasLog, kDamaged, kForkedOff
  std::uint16_t source_port;  // while installing: who has the log; 0: not known
  std::uint16_t source_host_bytes;
  char source_host[128];
  std::uint64_t log_key_seed;  // the cluster's log_key: equal in all its pools, random; 0: batches are not keyed
  std::uint64_t log_key_mix;
  std::uint64_t hash_seed;  // of this pool's index: random, and of no meaning to other nodes
  std::uint64_t
      claim_epoch;          // while installing: how far the log reached that this node gave up; of several installs in
  std::uint64_t claim_lsn;  // a row the highest; ~0 where that is not known
  // The primary of leader_epoch, which this node was or has followed.  Only while leader_epoch equals promised_epoch
  // does it tell to whom this node may have given a lease.  An earlier release leaves both fields as they are.
  std::uint64_t leader_epoch;
  std::uint8_t leader[16];
  std::uint16_t note_bytes;  // of `note`, which is the caller's; an earlier release leaves it as it is
  char note[190];
  std::uint8_t reserved[16];
  std::uint64_t checksum;  // of all that stands before it
};
static_assert(sizeof(Superblock) == 512 && sizeof(Superblock) <= kSuperblockStride &&
              offsetof(Superblock, promised_epoch) == 72 && offsetof(Superblock, source_host) == 104 &&
              offsetof(Superblock, log_key_seed) == 232 && offsetof(Superblock, claim_lsn) == 264 &&
              offsetof(Superblock, leader_epoch) == 272 && offsetof(Superblock, note_bytes) == 296 &&
              offsetof(Superblock, checksum) == 504 && std::is_trivially_copyable_v<Superblock>);

// Version 2 has the same fields up to source_host, then reserved bytes and, here, its checksum.
inline constexpr std::uint64_t kUnkeyedSuperblockBytes = offsetof(Superblock, log_key_seed);
inline constexpr std::uint64_t kUnkeyedSuperblockChecksum = 248;

// The log is being transferred from a primary and may have gaps that no record explains, so it must not be used for
// recovery.
inline constexpr std::uint32_t kInstalling = 1;
// The log has held a committed batch, which is never taken back.  So if the log now holds no batch at all, data were
// lost.
inline constexpr std::uint32_t kHasLog = 2;
// Damage was found in the log, which then reached the claim at least.  A damaged batch at the log's end looks like one
// that a power failure has torn, and the next start must not take it for that.
inline constexpr std::uint32_t kDamaged = 4;
// Another history of this cluster, which began when a node was forced to lead, has refused this node because of what
// its log holds.
inline constexpr std::uint32_t kForkedOff = 8;

struct SegmentEntry {
  std::uint64_t generation;  // grows with every segment that is opened; 0: not in use
  std::uint64_t first_lsn;   // of the segment's first batch
  std::uint32_t head;        // which of the log's heads filled it: kHot or kCold
  std::uint32_t reserved;
  std::uint64_t checksum;  // of all that stands before it and of the entry's index
};
static_assert(sizeof(SegmentEntry) == 32 && std::is_trivially_copyable_v<SegmentEntry>);
inline constexpr std::uint64_t kMaxSegments = (kDataOffset - kTableOffset) / sizeof(SegmentEntry);

inline constexpr std::uint32_t kBatchMagic = 0x48435442;  // "BTCH"; a batch has it combined with the log_key
inline constexpr std::uint16_t kBatchVersion = 2;
inline constexpr std::uint64_t kMaxLsn = UINT64_MAX / 2;  // no log gets there, and arithmetic cannot overflow
// The batch's last unit goes on in the next batch; replay holds it back until its end.
inline constexpr std::uint16_t kUnitContinues = 1;
// The batch's first records belong to the unit that the batch before left open.
inline constexpr std::uint16_t kUnitContinued = 2;
// The batch holds a configuration record.
inline constexpr std::uint16_t kHasConfig = 4;
// The batch holds a record that frees a segment.
inline constexpr std::uint16_t kHasFree = 8;
// The batch is the cleaner's: it holds records that were live in a segment which the cleaner frees.
inline constexpr std::uint16_t kColdHead = 16;
inline constexpr std::uint16_t kBatchFlags = kUnitContinues | kUnitContinued | kHasConfig | kHasFree | kColdHead;

struct BatchHeader {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint16_t flags;
  std::uint64_t lsn;
  std::uint64_t epoch;
  std::uint64_t committed;   // the primary's commit LSN when it sealed the batch
  std::uint64_t generation;  // of the segment
  std::uint32_t payload_bytes;
  std::uint32_t record_count;
  std::uint64_t digest;    // the sum of the checksums of all batches that the log held before this one
  std::uint64_t checksum;  // of header (without this field) and payload, made with the log_key
};
static_assert(sizeof(BatchHeader) == 64 && offsetof(BatchHeader, checksum) == 56 &&
              std::is_trivially_copyable_v<BatchHeader>);

// Later releases may add record kinds: a reader that finds a kind which it does not know refuses the pool.
enum class RecordKind : std::uint8_t {
  kPut = 1,
  kDelete = 2,
  kFlush = 3,       // db, or all of them: kAllDatabases
  kConfig = 4,      // value: the members
  kEpochStart = 5,  // a primary's first record
  kFree = 6,        // value: a FreeNote; when this is committed the segment is no longer part of the log
  kSwap = 7,        // value: SwappedDb[]; the newest one alone tells for all databases whose keys they hold
  // From kElementsLevel on.  The key is the collection's name (8 bytes: `born`, 4 bytes: `number`) and then what names
  // the element in it: a field, a member, or the label of a list's element (8 bytes, big-endian).  The value is that of
  // a field, the score of a member (8 bytes, an IEEE double), or the element of a list; a set's member has none.  Both
  // kinds have the ValueType of the collection, and database 0.
  kElement = 8,
  kElementErased = 9,  // the value is that of a kDelete
};
inline constexpr std::uint16_t kAllDatabases = 0xffff;
inline constexpr std::uint8_t kHasExpiry = 1;
inline constexpr std::uint8_t kHasChecks = 2;  // from kRecordChecksLevel on
// The ValueType of a kPut, from kValueTypesLevel on; before that, and of every other kind, 0.
inline constexpr int kValueTypeShift = 2;
inline constexpr std::uint8_t kValueTypeMask = 7 << kValueTypeShift;
// Of a kPut, from kElementsLevel on: the value is the name of a large collection, 12 bytes.
inline constexpr std::uint8_t kIsLarge = 32;
inline constexpr std::uint8_t kRecordFlags = kHasExpiry | kHasChecks | kValueTypeMask | kIsLarge;
inline constexpr std::size_t kCollectionIdBytes = 12;

// The value of a kFree record.  From the next batch on the digest no longer includes the freed segment's batches.
struct FreeNote {
  std::uint64_t generation;
  std::uint64_t digest;   // the sum of the checksums of its batches
  std::uint64_t through;  // the last batch of all segments that were ever freed, this one included
  std::uint32_t index;
  std::uint32_t reserved;
};
static_assert(sizeof(FreeNote) == 32 && std::is_trivially_copyable_v<FreeNote>);

// What clients call database `db` holds the keys whose records carry the number `stored`.  A kSwap record has one such
// entry for each database whose two numbers differ, in the order of `db`; the record itself has no key and no database.
struct SwappedDb {
  std::uint16_t db;
  std::uint16_t stored;
};
static_assert(sizeof(SwappedDb) == 4 && std::is_trivially_copyable_v<SwappedDb>);

// The header of a record.  It is followed by 8 bytes of expiry (if kHasExpiry), the key, the value, and zeros up to a
// multiple of 8.
//
// A kDelete that the cleaner moved has the LSN of the original as its value, 8 bytes; an original has no value.
//
// A batch has a checksum of its own, but the reader of one record does not read the whole batch.  The two checks tell
// whether the medium still holds what was written.  The head has its own check, so that checking a key does not require
// reading its value.
struct RecordHeader {
  std::uint8_t kind;
  std::uint8_t flags;
  std::uint16_t db;
  std::uint32_t key_bytes;
  std::uint32_t value_bytes;
  std::uint16_t head_check;   // of the fields before it, the expiry and the key; without kHasChecks: 0
  std::uint16_t value_check;  // without kHasChecks: 0
};
static_assert(sizeof(RecordHeader) == 16 && std::is_trivially_copyable_v<RecordHeader>);
inline constexpr std::uint64_t kRecordAlign = 8;

constexpr std::uint64_t AlignUp(std::uint64_t n, std::uint64_t to) { return (n + to - 1) / to * to; }

// The bytes of a record in a batch.
constexpr std::uint64_t RecordBytes(std::uint64_t key_bytes, std::uint64_t value_bytes, bool has_expiry) {
  return AlignUp(sizeof(RecordHeader) + (has_expiry ? 8 : 0) + key_bytes + value_bytes, kRecordAlign);
}

}  // namespace faha::format
