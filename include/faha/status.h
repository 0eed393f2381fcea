// How an operation failed.  A failure of the world outside is a Status; a bug ends the process with FAHA_CHECK.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace faha {

// Every code has one stable upper-case name: it is what a Redis client reads after the '-' and what the server's log
// line starts with.  Peers send each other the numbers, so a number never changes, and a new code takes the next one.
enum class Code {
  kOk = 0,
  kBadConfig = 1,     // BADCONFIG: an option's value cannot be used
  kBadPool = 2,       // BADPOOL: the file is not a pool, or its superblock is damaged
  kClusterId = 3,     // CLUSTERID: the peer or the pool belongs to another cluster, or its log has another key
  kCorrupt = 4,       // CORRUPT: committed data in the pool is damaged
  kDenied = 5,        // DENIED: the peer does not know the secret, or this node does not; or TLS, likewise
  kFenced = 6,        // FENCED: this node must not act as a primary any more
  kIoError = 7,       // IOERROR: the medium or the operating system refused
  kNoPromise = 8,     // NOPROMISE: no majority promised the epoch
  kNoQuorum = 9,      // NOQUORUM: a majority cannot be reached
  kNoSpace = 10,      // NOSPACE: the pool or the file system is full
  kNotPrimary = 11,   // NOTPRIMARY: this node is not the primary: it serves no reads, and nobody can follow it
  kPeerVersion = 12,  // PEERVERSION: the peer speaks another wire version, or lacks the cluster's feature level
  kPoolInUse = 13,    // POOLINUSE: another process has the pool open
  kPoolSize = 14,     // POOLSIZE: the pool's geometry does not fit its cluster's
  kPoolVersion = 15,  // POOLVERSION: the pool has a format version or feature level that this release cannot read
  kProtocol = 16,     // PROTOCOL: the peer sent what the protocol does not allow
  kReadOnly = 17,     // READONLY: this node does not accept writes
  kTooLarge = 18,     // TOOLARGE: a key or value is over the limit
  kUnavailable = 19,  // UNAVAILABLE: the peer cannot be reached
  kWrongType = 20,    // WRONGTYPE: the value of the key is of another type than the command works on
  // FORKED: this node holds batches behind the place where a node was forced to lead without it
  kForked = 21,
};

// The stable name of `code`, such as "NOSPACE".
std::string_view CodeName(Code code);

// A code and one line that says what happened and what to do.  Success is one null pointer, because every call on the
// path of a write returns it.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) {
    if (code != Code::kOk) failure_ = std::make_unique<Failure>(Failure{code, std::move(message)});
  }
  Status(const Status& other) : failure_(other.ok() ? nullptr : std::make_unique<Failure>(*other.failure_)) {}
  Status& operator=(const Status& other) {
    if (this != &other) *this = Status(other);
    return *this;
  }
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;
  ~Status() = default;
  static Status Ok() { return {}; }

  [[nodiscard]] bool ok() const { return failure_ == nullptr; }
  [[nodiscard]] Code code() const { return ok() ? Code::kOk : failure_->code; }
  // Empty for success.
  [[nodiscard]] std::string_view message() const { return ok() ? std::string_view() : failure_->message; }
  // "NOSPACE the pool is full: ..."
  [[nodiscard]] std::string ToString() const;

 private:
  struct Failure {
    Code code;
    std::string message;
  };
  std::unique_ptr<Failure> failure_;
};

// A value, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return status_.ok(); }
  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] T& value() { return *value_; }
  [[nodiscard]] const T& value() const { return *value_; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace faha
