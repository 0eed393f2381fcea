#include "module/rdb_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace faha::module {
namespace {

constexpr std::string_view kMagic = "REDIS0010";
constexpr std::uint8_t kAux = 250, kResizeDb = 251, kExpireTimeMs = 252, kSelectDb = 254, kEnd = 255;
constexpr std::uint8_t kString = 0;

// Tables to process eight bytes at a time: table k holds the effect that a byte has on the sum k bytes later.
using Tables = std::array<std::array<std::uint64_t, 256>, 8>;
constexpr Tables MakeTables() {
  constexpr std::uint64_t kPolynomial = 0x95ac9329ac4bc9b5;  // 0xad93d23594c935a9, the lowest bit first
  Tables tables{};
  for (std::uint64_t byte = 0; byte < 256; ++byte) {
    std::uint64_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ kPolynomial : crc >> 1;
    tables[0][byte] = crc;
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    for (std::size_t k = 1; k < tables.size(); ++k)
      tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 0xff];
  }
  return tables;
}
constexpr Tables kTables = MakeTables();

}  // namespace

std::uint64_t Crc64(std::uint64_t crc, std::string_view bytes) {
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, sizeof word);
    word ^= crc;
    crc = 0;
    for (std::size_t k = 0; k < 8; ++k) crc ^= kTables[7 - k][word >> 8 * k & 0xff];
  }
  for (; i < bytes.size(); ++i) crc = crc >> 8 ^ kTables[0][(crc ^ static_cast<std::uint8_t>(bytes[i])) & 0xff];
  return crc;
}

RdbWriter::RdbWriter(std::string path) : path_(std::move(path)), unfinished_(Unfinished(path_)) {}

RdbWriter::~RdbWriter() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(unfinished_.c_str());
}

void RdbWriter::Fail(std::string_view what) {
  const int error = errno;
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  status_ = {full ? Code::kNoSpace : Code::kIoError,
             std::string("cannot ").append(what).append(" ").append(unfinished_).append(": ").append(strerror(error))};
}

Status RdbWriter::Create() {
  // Removes the file of an earlier writer whose process was killed.
  unlink(unfinished_.c_str());
  fd_ = open(unfinished_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd_ < 0) {
    Fail("create");
    return status_;
  }
  Bytes(kMagic);
  return status_;
}

Status RdbWriter::Aux(std::string_view name, std::string_view value) {
  Byte(kAux);
  String(name);
  String(value);
  return status_;
}

Status RdbWriter::Functions(std::string_view entries) {
  Bytes(entries);
  return status_;
}

Status RdbWriter::Expect(DbId db, std::uint64_t keys, std::uint64_t expiring) {
  Select(db);
  Byte(kResizeDb);
  Length(keys);
  Length(expiring);
  return status_;
}

Status RdbWriter::Put(DbId db, std::string_view key, std::string_view value, TimeMs expire_at) {
  Select(db);
  if (expire_at != kNoExpiry) {
    Byte(kExpireTimeMs);
    Bytes({reinterpret_cast<const char*>(&expire_at), sizeof expire_at});
  }
  Byte(kString);
  String(key);
  String(value);
  ++keys_;
  return status_;
}

Status RdbWriter::Keep() {
  Byte(kEnd);
  Write();
  const std::uint64_t crc = crc_;
  Bytes({reinterpret_cast<const char*>(&crc), sizeof crc});
  Write();
  if (status_.ok() && fsync(fd_) != 0) Fail("write");
  if (status_.ok() && rename(unfinished_.c_str(), path_.c_str()) != 0) Fail("rename");
  if (!status_.ok()) return status_;
  close(std::exchange(fd_, -1));
  const std::size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const int dir = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0 || fsync(dir) != 0) Fail("make durable the name of");
  if (dir >= 0) close(dir);
  return status_;
}

void RdbWriter::Select(DbId db) {
  if (selected_ == db) return;
  selected_ = db;
  Byte(kSelectDb);
  Length(db);
}

void RdbWriter::Byte(std::uint8_t byte) { Bytes({reinterpret_cast<const char*>(&byte), 1}); }

void RdbWriter::Length(std::uint64_t length) {
  std::array<char, 9> bytes;
  const auto put = [&](std::size_t count) {  // big-endian, at the end
    for (std::size_t i = 0; i < count; ++i) bytes[8 - i] = static_cast<char>(length >> 8 * i & 0xff);
  };
  std::size_t size = 0;
  if (length < 1U << 6) {
    put(size = 1);
  } else if (length < 1U << 14) {
    put(size = 2);
    bytes[7] = static_cast<char>(bytes[7] | 0x40);
  } else if (length <= UINT32_MAX) {
    put(4);
    size = 5;
    bytes[4] = static_cast<char>(0x80);
  } else {
    put(8);
    size = 9;
    bytes[0] = static_cast<char>(0x81);
  }
  Bytes({bytes.data() + bytes.size() - size, size});
}

void RdbWriter::String(std::string_view text) {
  Length(text.size());
  Bytes(text);
}

void RdbWriter::Bytes(std::string_view bytes) {
  while (!bytes.empty() && status_.ok()) {
    const std::size_t part = std::min(bytes.size(), buffer_.size() - used_);
    std::memcpy(buffer_.data() + used_, bytes.data(), part);
    used_ += part;
    bytes.remove_prefix(part);
    if (used_ == buffer_.size()) Write();
  }
}

void RdbWriter::Write() {
  std::string_view rest(buffer_.data(), used_);
  crc_ = Crc64(crc_, rest);
  while (!rest.empty() && status_.ok()) {
    const ssize_t n = write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Fail("write");
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  written_ += std::exchange(used_, 0);
  if (written_ - synced_ < kUnsyncedBytes || !status_.ok()) return;
  synced_ = written_;
  if (fdatasync(fd_) != 0) Fail("write");
}

}  // namespace faha::module
