// Writes a dump in Redis' format, version 10, which Redis 7.0 and later and Valkey load.  This code does not depend on
// Redis.  Thread: any.
// A dump consists of the magic with the version; entries, each beginning with an opcode; the end opcode; and the
// checksum of all bytes before it.
//   AUX        two strings, a name and a value     information that the reader may use or ignore
//   FUNCTION2  a string, the code of a library
//   SELECTDB   a length                            the database of the entries that follow
//   RESIZEDB   two lengths                         how many keys the database will hold, how many of them expire
//   EXPIRETIME_MS  eight bytes, little-endian      the expiry of the next key
//   a key: its type, its name, its value         see rdb_value.h, also for lengths and strings
//
// Invariant: the file gets its final name only when it is whole and durable; until then the file that had the name
// before remains.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "faha/keyspace.h"
#include "faha/status.h"
#include "faha/types.h"

namespace faha::module {

class RdbWriter {
 public:
  explicit RdbWriter(std::string path);
  // Removes the unfinished file unless Keep() was called.
  ~RdbWriter();
  RdbWriter(const RdbWriter&) = delete;
  RdbWriter& operator=(const RdbWriter&) = delete;

  // The path of the file before it is whole.  Whoever ends the writing process removes that file.
  static std::string Unfinished(const std::string& path) { return path + ".new"; }

  // Writes the head.  Errors, here and below: IoError; NoSpace.  After the first error nothing more is written, and all
  // later calls return that error.
  Status Create();
  Status Aux(std::string_view name, std::string_view value);
  // `entries`: FUNCTION2 entries in the form that they have in a dump.
  Status Functions(std::string_view entries);
  Status Expect(DbId db, std::uint64_t keys, std::uint64_t expiring);
  // The databases may come in any order.  `elements`: of an entry that is no string; null: they are damaged.  Errors:
  // also Corrupt - the elements are damaged.
  Status Put(DbId db, std::string_view key, const Entry& entry, const Collection* elements = nullptr);
  // Makes the file whole and durable and gives it its final name.
  Status Keep();

  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] std::uint64_t keys() const { return keys_; }
  [[nodiscard]] std::uint64_t bytes() const { return written_ + used_; }

 private:
  Status Damaged(ValueType type);
  static constexpr std::size_t kBufferBytes = 256U << 10;
  // At most this many bytes are left unsynced for the system to write when it likes.  If a whole dump were left
  // unsynced, other users of the disk would have to wait.
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
