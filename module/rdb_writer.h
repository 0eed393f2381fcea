// Writes a dump in Redis' format, version 10, which Redis 7.0 and later and Valkey load.  It knows nothing of Redis.
// Thread: any one.
// A dump is the magic with the version; entries, which begin with an opcode; the end's opcode; and the checksum of all.
//   AUX        two strings, a name and a value     what the reader may know, and may ignore
//   FUNCTION2  a string, the code of a library
//   SELECTDB   a length                            the database of what follows
//   RESIZEDB   two lengths                         how many keys it will hold, and how many of them expire
//   EXPIRETIME_MS  eight bytes, little-endian      of the next key
//   a key: its type (0, a string), its name, its value
// A length has 1, 2, 5 or 9 bytes, a string is its length and its bytes.  (Redis also packs numbers and compresses;
// no reader needs it.)
//
// Invariant: the file has its name once it is whole and durable, and what had the name before is there until then.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "faha/status.h"
#include "faha/types.h"

namespace faha::module {

// The CRC-64 of Jones, "An Improved 64-bit Cyclic Redundancy Check for Protein Sequences" (2002), as Redis computes it.
std::uint64_t Crc64(std::uint64_t crc, std::string_view bytes);

class RdbWriter {
 public:
  explicit RdbWriter(std::string path);
  // Unless it was kept there is no file.
  ~RdbWriter();
  RdbWriter(const RdbWriter&) = delete;
  RdbWriter& operator=(const RdbWriter&) = delete;

  // Where the file is before it is whole: somebody who ends the writing process removes it.
  static std::string Unfinished(const std::string& path) { return path + ".new"; }

  // Writes the head.  Errors, here and below: IoError; NoSpace.  After the first one nothing is written any more, and
  // all that follows returns it.
  Status Create();
  Status Aux(std::string_view name, std::string_view value);
  // `entries`: FUNCTION2s as they stand in a dump.
  Status Functions(std::string_view entries);
  Status Expect(DbId db, std::uint64_t keys, std::uint64_t expiring);
  // In any order of databases.
  Status Put(DbId db, std::string_view key, std::string_view value, TimeMs expire_at);
  // The file is whole and has its name.
  Status Keep();

  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] std::uint64_t keys() const { return keys_; }
  [[nodiscard]] std::uint64_t bytes() const { return written_ + used_; }

 private:
  static constexpr std::size_t kBufferBytes = 256U << 10;
  // So much is left to the system to write at its leisure: with all of a dump at once, others who use the disk would
  // wait.
  static constexpr std::uint64_t kUnsyncedBytes = 4U << 20;

  void Byte(std::uint8_t byte);
  void Length(std::uint64_t length);
  void String(std::string_view text);
  void Bytes(std::string_view bytes);
  void Select(DbId db);
  void Write();
  void Fail(std::string_view what);

  std::string path_, unfinished_;
  int fd_ = -1;
  Status status_;
  std::array<char, kBufferBytes> buffer_;
  std::size_t used_ = 0;
  std::uint64_t written_ = 0, synced_ = 0, keys_ = 0, crc_ = 0;
  std::optional<DbId> selected_;
};

}  // namespace faha::module
