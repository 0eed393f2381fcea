#include "tools/extract.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <memory>

#include "faha/collections.h"
#include "log/element.h"
#include "store/large_views.h"
#include "tools/text.h"

namespace faha {
namespace {

Status Failed(std::string_view what, const std::string& path) {
  const int error = errno;
  if (error == EEXIST) return {Code::kBadConfig, fmt::format("{} exists: name another file, or move it away", path)};
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return {full ? Code::kNoSpace : Code::kIoError, fmt::format("cannot {} {}: {}", what, path, std::strerror(error))};
}

// A file that is written under a temporary name; Keep() gives it its own name.  The temporary name is removed in any
// case.
class Output {
 public:
  explicit Output(std::string path) : path_(std::move(path)), fresh_(path_ + ".new") {}
  ~Output() {
    if (file_ == nullptr) return;
    std::fclose(file_);
    unlink(fresh_.c_str());
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  Status Create() {
    if (access(path_.c_str(), F_OK) == 0) {
      errno = EEXIST;
      return Failed("create", path_);
    }
    const int fd = open(fresh_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return Failed("create", fresh_);
    file_ = fdopen(fd, "w");
    if (file_ != nullptr) return Status::Ok();
    const Status status = Failed("write", fresh_);
    close(fd);
    unlink(fresh_.c_str());
    return status;
  }

  // Writes one command.  Errors: as Extract.
  Status Write(std::initializer_list<std::string_view> words) {
    std::string head = fmt::format("*{}\r\n", words.size());
    bool good = true;
    for (const std::string_view word : words) {
      fmt::format_to(std::back_inserter(head), "${}\r\n", word.size());
      good = good && Put(head) && Put(word);
      head = "\r\n";
    }
    return good && Put(head) ? Status::Ok() : Failed("write", fresh_);
  }

  Status Keep() {
    if (std::fflush(file_) != 0 || fsync(fileno(file_)) != 0) return Failed("write", fresh_);
    // This is a link and not a rename, because a rename would replace a file that somebody has made since.
    if (link(fresh_.c_str(), path_.c_str()) != 0) return Failed("create", path_);
    return Status::Ok();
  }

 private:
  bool Put(std::string_view bytes) { return std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size(); }

  std::string path_, fresh_;
  std::FILE* file_ = nullptr;
};

Status WriteString(Output& output, const Record& record) {
  if (record.expire_at == kNoExpiry) return output.Write({"SET", record.key, record.value});
  return output.Write({"SET", record.key, record.value, "PXAT", fmt::format("{}", record.expire_at)});
}

// Nothing is written.
class NoWriter final : public ElementWriter {
 public:
  Result<bool> PutElement(const CollectionId&, ValueType, std::string_view, std::string_view) override {
    return Refused();
  }
  Result<bool> EraseElement(const CollectionId&, std::string_view) override { return Refused(); }

 private:
  static Status Refused() { return {Code::kReadOnly, "the pool is only read"}; }
};

// Calls visit(...) as a Kind::Visitor for each element.  False: the value is no such collection, or is not whole.
template <typename Kind, typename Visit>
bool ForEachElementOf(const Engine& engine, const Record& record, Visit visit) {
  NoWriter writer;
  std::unique_ptr<Kind> collection;
  if (record.large) {
    auto large = ViewLarge(LargeOf(record), record.type, engine, writer);
    collection.reset(static_cast<Kind*>(large.release()));
  } else {
    collection = OpenPacked<Kind>(record.value);
  }
  std::uint64_t visited = 0;
  if (collection == nullptr) return false;
  ForEachElement(*collection, [&](auto... element) {
    visit(element...);
    ++visited;
  });
  return visited == collection->Size();
}

// A command for each element, and one for the expiry.
Status WriteCollection(Output& output, const Engine& engine, const Record& record) {
  Status status;
  const auto write = [&](std::initializer_list<std::string_view> words) {
    if (status.ok()) status = output.Write(words);
  };
  const auto write_all = [&]() -> bool {
    switch (record.type) {
      case ValueType::kHash:
        return ForEachElementOf<Hash>(engine, record, [&](std::string_view field, std::string_view value) {
          write({"HSET", record.key, field, value});
        });
      case ValueType::kSet:
        return ForEachElementOf<Set>(engine, record, [&](std::string_view member) {
          write({"SADD", record.key, member});
        });
      case ValueType::kSortedSet:
        return ForEachElementOf<SortedSet>(engine, record, [&](std::string_view member, double score) {
          write({"ZADD", record.key, fmt::format("{}", score), member});
        });
      case ValueType::kList:
        return ForEachElementOf<List>(engine, record, [&](std::uint64_t, std::string_view element) {
          write({"RPUSH", record.key, element});
        });
      case ValueType::kString: break;
    }
    return false;
  };
  if (!write_all()) {
    return {Code::kCorrupt, fmt::format("the value of the key \"{}\" is no {}; nothing was written", Escape(record.key),
                                        NameOf(record.type))};
  }
  if (record.expire_at != kNoExpiry) write({"PEXPIREAT", record.key, fmt::format("{}", record.expire_at)});
  return status;
}

// Writes the libraries of functions.  The record's value is a number, followed by the libraries as the server dumps
// them.
Status WriteFunctions(Output& output, const Record& record) {
  if (record.value.size() < sizeof(std::uint64_t)) return Status::Ok();
  return output.Write({"FUNCTION", "RESTORE", record.value.substr(sizeof(std::uint64_t)), "REPLACE"});
}

}  // namespace

Result<std::uint64_t> Extract(const Pool& pool, const Survey& survey, const Replay& replay, const std::string& path) {
  Output output(path);
  Status status = output.Create();
  std::uint64_t keys = 0;
  std::optional<DbId> selected;
  // The keys are found by reading the batches and not by walking the index, whose order is that of hashes.  So a pool
  // that is larger than the memory is read from front to back.
  BatchStream stream(pool, survey.found);
  while (status.ok()) {
    const auto next = stream.Next();
    if (!next) break;
    if (!survey.Counts(*next)) continue;
    (void)next->batch.view.ForEach([&](const Record& record, std::uint64_t offset) {
      if (!status.ok() || record.kind != format::RecordKind::kPut) return;
      if (!replay.engine().IsNewest(record, next->batch.at + offset)) return;
      const DbId db = replay.engine().Named(record.db);
      if (db == kHiddenDb) {
        status = WriteFunctions(output, record);
        return;
      }
      if (selected != db) status = output.Write({"SELECT", fmt::format("{}", db)});
      selected = db;
      if (!status.ok()) return;
      status = record.type == ValueType::kString ? WriteString(output, record)
                                                 : WriteCollection(output, replay.engine(), record);
      ++keys;
    });
  }
  if (status.ok()) status = StillReadable(pool, survey);
  if (status.ok()) status = output.Keep();
  if (!status.ok()) return status;
  return keys;
}

}  // namespace faha
