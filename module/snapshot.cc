#include "module/snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <new>
#include <sstream>
#include <utility>

#include "module/functions.h"
#include "module/gate.h"
#include "module/info_text.h"
#include "module/rdb_writer.h"
#include "module/state.h"

namespace faha::module {
namespace {

using Seconds = std::chrono::seconds;
using SteadyTime = std::chrono::steady_clock::time_point;

// As in Redis, a scheduled snapshot waits for this long after a failure.
constexpr Seconds kRetryDelay{5};

// What a child reports of its work, in memory that it shares with the server.
struct Report {
  std::uint64_t keys = 0, bytes = 0;
  Code code = Code::kOk;
  char text[512] = {};
};

struct Snapshots {
  bool scheduled = false;
  bool forking = false;
  pid_t child = 0;  // 0: none
  // These describe the snapshot that is under way, or else the last one.
  std::string path;
  Lsn lsn;
  SteadyTime began;
  Status lost;
  Report* report = nullptr;  // for the life of the server

  std::time_t saved_at = std::time(nullptr);  // what LASTSAVE answers; as in Redis, the start counts as a save
  bool background_ok = true;
  Seconds background_took{-1};
  std::uint64_t begun = 0;  // number of snapshots since the start
  std::uint64_t records_saved = 0, records_at_begin = 0;
};

Snapshots& The() {
  static Snapshots snapshots;
  return snapshots;
}

std::string Path(RedisModuleCtx* ctx) {
  const std::string name = ConfigValue(ctx, "dbfilename");
  const std::string dir = ConfigValue(ctx, "dir");  // empty if the directory was removed
  return (dir.empty() ? "" : dir + "/") + "faha-" + (name.empty() ? "dump.rdb" : name);
}

// The three parts of the server's version.
std::string ServerVersion() {
  const int version = RedisModule_GetServerVersion();
  return std::to_string(version >> 16) + "." + std::to_string(version >> 8 & 0xff) + "." +
         std::to_string(version & 0xff);
}

std::string UsedMemory(RedisModuleCtx* ctx) {
  RedisModuleServerInfoData* info = RedisModule_GetServerInfo(ctx, "memory");
  int error = REDISMODULE_OK;
  const auto used = RedisModule_ServerInfoGetFieldUnsigned(info, "used_memory", &error);
  RedisModule_FreeServerInfo(ctx, info);
  return std::to_string(error == REDISMODULE_OK ? used : 0);
}

// What the child must not ask the server for; it is gathered before the fork.
struct Facts {
  std::string path, used_memory;
  Lsn lsn;
  TimeMs now = 0;
  pid_t server = 0;
};

// Writes a dump of what the store holds; runs in the child or in the server itself.
Status WriteDump(const Facts& facts, RdbWriter& dump) {
  Store& store = *TheState().store;
  (void)dump.Create();
  (void)dump.Aux("redis-ver", ServerVersion());
  (void)dump.Aux("redis-bits", "64");
  (void)dump.Aux("ctime", std::to_string(facts.now / 1000));
  (void)dump.Aux("used-mem", facts.used_memory);
  (void)dump.Aux("faha-lsn", std::to_string(facts.lsn.value));
  for (DbId db = 0; db < TheState().databases && dump.status().ok(); ++db) {
    if (store.Size(db) != 0) (void)dump.Expect(db, store.Size(db), store.Expiring(db));
  }
  if (!dump.status().ok()) return dump.status();
  const Status read = store.ReadHeld([&](DbId db, std::string_view key, const Entry& entry) {
    if (db == kHiddenDb) return dump.Functions(FunctionsInDump(key, entry.value)).ok();
    if (entry.expire_at != kNoExpiry && entry.expire_at < facts.now) return true;
    return dump.Put(db, key, entry, OpenAny(store, entry).get()).ok();
  });
  if (!read.ok()) return read;
  if (!dump.status().ok()) return dump.status();
  // If the server is gone, it may have a successor, which may have begun to overwrite what was read here.
  if (facts.server != getpid() && facts.server != getppid()) return {Code::kUnavailable, "the server has ended"};
  return dump.Keep();
}

Facts Gather(RedisModuleCtx* ctx, Lsn lsn) {
  return {Path(ctx), UsedMemory(ctx), lsn, RedisModule_Milliseconds(), getpid()};
}

// When the server ends, peers and clients must see that their connections are closed, although this child lives on for
// a moment.  Each descriptor number stays in use, because its user may go on writing to that number, as the system's
// log does.
void LetGoOfSockets() {
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  DIR* all = opendir("/proc/self/fd");
  while (const dirent* entry = all == nullptr ? nullptr : readdir(all)) {
    struct stat found {};
    const int fd = std::atoi(entry->d_name);
    if (nothing >= 0 && fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode)) dup2(nothing, fd);
  }
  if (all != nullptr) closedir(all);
}

// Runs in the child, which never returns to the server's work.
[[noreturn]] void Child(const Facts& facts, Report& report) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != facts.server) _exit(1);
  LetGoOfSockets();
  Status status;
  {
    RdbWriter dump(facts.path);
    status = WriteDump(facts, dump);
    report.keys = dump.keys();
    report.bytes = dump.bytes();
  }
  report.code = status.code();
  report.text[status.message().copy(report.text, sizeof report.text - 1)] = '\0';
  RedisModule_ExitFromChild(status.ok() ? 0 : 1);
  _exit(1);
}

void Saved(std::uint64_t keys, std::uint64_t bytes) {
  Snapshots& the = The();
  the.saved_at = std::time(nullptr);
  the.records_saved = the.records_at_begin;
  the.background_ok = true;
  Log(LogLevel::kNotice, "snapshot written: " + the.path + " has the keys as of LSN " + std::to_string(the.lsn.value) +
                             ", " + std::to_string(keys) + " keys in " + std::to_string(bytes) + " bytes");
}

// The status that is reported: what went wrong, and that nothing else has changed.
Status NotSaved(const Status& why) {
  return {why.code(), "no snapshot was written to " + The().path +
                          ", and an older one stays as it is: " + std::string(why.message())};
}

void Failed(const Status& why) {
  const Status status = NotSaved(why);
  Log(LogLevel::kWarning, status.ToString());
  TheState().store->ReleaseSegments(status);
}

// How the child ended.  The child's result is valid only if the hold was not lost.
Status Outcome(int exit_code, int signal) {
  const Snapshots& the = The();
  if (!the.lost.ok()) return the.lost;
  if (signal != 0)
    return {Code::kUnavailable, "the process that wrote it was ended by signal " + std::to_string(signal)};
  if (exit_code == 0) return Status::Ok();
  if (the.report->code != Code::kOk) return {the.report->code, the.report->text};
  return {Code::kUnavailable, "the process that wrote it ended early"};
}

void OnChildDone(int exit_code, int signal, void*) {
  Snapshots& the = The();
  the.child = 0;
  the.background_took = std::chrono::duration_cast<Seconds>(std::chrono::steady_clock::now() - the.began);
  const Status outcome = Outcome(exit_code, signal);
  the.background_ok = outcome.ok();
  if (outcome.ok()) {
    TheState().store->ReleaseSegments(outcome);
    return Saved(the.report->keys, the.report->bytes);
  }
  unlink(RdbWriter::Unfinished(the.path).c_str());
  Failed(outcome);
}

bool SharesReport() {
  if (The().report != nullptr) return true;
  void* page = mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return false;
  The().report = new (page) Report;
  return true;
}

// Called by the store before the log overwrites what the child has not read.  This kills the child directly, because
// Redis' own way to end a child waits until it has ended.
void OnLost(const Status& why) {
  The().lost = why;
  if (The().child != 0) kill(The().child, SIGKILL);
}

// Holds the keys in their present state, which is committed.
Result<Facts> Begin(RedisModuleCtx* ctx) {
  Snapshots& the = The();
  the.began = std::chrono::steady_clock::now();
  the.lost = Status::Ok();
  the.path = Path(ctx);
  the.records_at_begin = TheState().store->Info().records;
  const auto lsn = TheState().store->HoldSegments(OnLost);
  if (!lsn.ok()) return lsn.status();
  the.lsn = *lsn;
  ++the.begun;
  return Gather(ctx, *lsn);
}

Status StartChild(RedisModuleCtx* ctx) {
  Snapshots& the = The();
  the.background_ok = false;  // until the start has succeeded
  if (!SharesReport()) return {Code::kUnavailable, "there is no memory"};
  const auto facts = Begin(ctx);
  if (!facts.ok()) return facts.status();
  *the.report = {};
  the.forking = true;
  const int child = RedisModule_Fork(OnChildDone, nullptr);
  the.forking = false;
  if (child == 0) Child(*facts, *the.report);
  if (child < 0) return {Code::kUnavailable, "the system gives no other process: see the server's log"};
  the.child = child;
  the.background_ok = true;
  Log(LogLevel::kNotice,
      "a snapshot of LSN " + std::to_string(the.lsn.value) + " is written by process " + std::to_string(child));
  return Status::Ok();
}

// Writes the dump in this process; all clients wait meanwhile.
Status SaveHere(RedisModuleCtx* ctx) {
  const auto facts = Begin(ctx);
  if (!facts.ok()) return facts.status();
  RdbWriter dump(facts->path);
  const Status status = WriteDump(*facts, dump);
  if (!status.ok()) return status;
  TheState().store->ReleaseSegments(status);
  Saved(dump.keys(), dump.bytes());
  return status;
}

// Commits, so that everything that the turn has written so far is in the snapshot; if that fails there is no snapshot.
Status CommitFirst() {
  EndUnit();
  return TheState().gate.CommitInside();
}

bool Has(RedisModuleCtx* ctx, int flag) { return (RedisModule_GetContextFlags(ctx) & flag) != 0; }

bool saves_at_shutdown = false;

bool SettingSaves(int signal) {
  const char* name = signal == SIGINT ? "shutdown-on-sigint" : "shutdown-on-sigterm";
  std::istringstream words(ConfigValue(TheState().context, name));
  for (std::string word; words >> word;) {
    if (word == "save") return true;
  }
  return false;
}

}  // namespace

void SnapshotTurnEnds(RedisModuleCtx* ctx) {
  Snapshots& the = The();
  if (!the.scheduled || the.child != 0 || Has(ctx, REDISMODULE_CTX_FLAGS_ACTIVE_CHILD)) return;
  if (!the.background_ok && std::chrono::steady_clock::now() - the.began < kRetryDelay) return;
  const Status status = StartChild(ctx);
  if (status.ok()) {
    the.scheduled = false;
  } else {
    Failed(status);
  }
}

bool SnapshotIsUnderWay() { return The().forking || The().child != 0; }

void ShutdownIsAsked(bool saves) { saves_at_shutdown = saves; }

void SnapshotAtShutdown(int signal) {
  Snapshots& the = The();
  if (the.child != 0) {
    // Redis has asked the child to end, but does not wait until it has ended.
    kill(std::exchange(the.child, 0), SIGKILL);
    unlink(RdbWriter::Unfinished(the.path).c_str());
    TheState().store->ReleaseSegments(Status::Ok());
  }
  if (signal != 0 ? !SettingSaves(signal) : !saves_at_shutdown) return;
  if (const Status status = SaveHere(TheState().context); !status.ok()) Failed(status);
}

void TellSnapshots(std::string& info) {
  const Snapshots& the = The();
  const auto age = std::chrono::duration_cast<Seconds>(std::chrono::steady_clock::now() - the.began);
  const std::uint64_t records = TheState().store->Info().records;
  SetInfoField(info, "rdb_changes_since_last_save", std::to_string(records - the.records_saved));
  SetInfoField(info, "rdb_bgsave_in_progress", the.child != 0 ? "1" : "0");
  SetInfoField(info, "rdb_last_save_time", std::to_string(the.saved_at));
  SetInfoField(info, "rdb_saves", std::to_string(the.begun));
  SetInfoField(info, "rdb_last_bgsave_status", the.background_ok ? "ok" : "err");
  SetInfoField(info, "rdb_last_bgsave_time_sec", std::to_string(the.background_took.count()));
  SetInfoField(info, "rdb_current_bgsave_time_sec", std::to_string(the.child != 0 ? age.count() : -1));
}

namespace snapshot {

Reply BgSave(Call& call) {
  const bool asks_later = call.size() == 2 && call.Is(1, "schedule");
  if (call.size() > 1 && !asks_later) return Call::SyntaxError();
  if (The().child != 0) return Reply::Error("ERR Background save already in progress");
  const bool in_transaction = Has(call.ctx(), REDISMODULE_CTX_FLAGS_MULTI);
  if (in_transaction || Has(call.ctx(), REDISMODULE_CTX_FLAGS_ACTIVE_CHILD)) {
    if (!asks_later && !in_transaction)
      return Reply::Error(
          "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to "
          "schedule a BGSAVE whenever possible.");
    The().scheduled = true;
    return Reply::Simple("Background saving scheduled");
  }
  Status status = CommitFirst();
  if (!status.ok()) return Reply::Error(status);
  status = StartChild(call.ctx());
  if (status.ok()) return Reply::Simple("Background saving started");
  Failed(status);
  return Reply::Error(NotSaved(status));
}

Reply Save(Call& call) {
  if (Has(call.ctx(), REDISMODULE_CTX_FLAGS_MULTI)) return Reply::Error("ERR Command not allowed inside a transaction");
  if (The().child != 0) return Reply::Error("ERR Background save already in progress");
  Status status = CommitFirst();
  if (!status.ok()) return Reply::Error(status);
  status = SaveHere(call.ctx());
  if (status.ok()) return Reply::Ok();
  Failed(status);
  return Reply::Error(NotSaved(status));
}

Reply LastSave(Call&) { return Reply::Integer(The().saved_at); }

}  // namespace snapshot
}  // namespace faha::module
