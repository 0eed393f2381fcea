#include "module/rdb_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "module/rdb_value.h"

namespace faha::module {
namespace {

constexpr std::string_view kMagic = "REDIS0010";
constexpr std::uint8_t kAux = 250, kResizeDb = 251, kExpireTimeMs = 252, kSelectDb = 254, kEnd = 255;

}  // namespace

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

Status RdbWriter::Put(DbId db, std::string_view key, const Entry& entry, const Collection* elements) {
  const bool is_string = entry.type == ValueType::kString;
  if (!is_string && elements == nullptr) return Damaged(entry.type);
  Select(db);
  if (entry.expire_at != kNoExpiry) {
    Byte(kExpireTimeMs);
    Bytes({reinterpret_cast<const char*>(&entry.expire_at), sizeof entry.expire_at});
  }
  Byte(RdbTypeOf(entry.type));
  String(key);
  if (is_string) {
    String(entry.value);
  } else if (!TellRdbCollection(*elements, [this](std::string_view bytes) { Bytes(bytes); })) {
    return Damaged(entry.type);
  }
  ++keys_;
  return status_;
}

Status RdbWriter::Damaged(ValueType type) {
  if (status_.ok()) status_ = {Code::kCorrupt, "a value is damaged: it is no " + std::string(NameOf(type))};
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
  std::string bytes;
  AppendRdbLength(bytes, length);
  Bytes(bytes);
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
