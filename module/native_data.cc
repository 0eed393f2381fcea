#include "module/native_data.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <string_view>
#include <vector>

#include "module/barrier.h"
#include "module/call.h"
#include "module/functions.h"
#include "module/names.h"
#include "module/roles.h"
#include "module/state.h"

namespace faha::module {
namespace {

namespace fs = std::filesystem;

// What a file holds, as the end of a sentence that begins with the file's name; nothing: the file holds no keys.
using Finding = std::optional<std::string>;

constexpr const char* kEndsEarly = "is damaged and may hold keys";
constexpr const char* kFunctions = "holds functions";

// --- Dumps.  Redis' format: opcodes, lengths of 6 to 64 bits, strings.  An opcode that is not known is taken for a
// key.

constexpr int kModuleAux = 247, kFunction = 245, kAux = 250, kResizeDb = 251, kSelectDb = 254, kEnd = 255;
constexpr std::size_t kChecksumBytes = 8;

// Skips `bytes` bytes; fails the stream if it has fewer.
void Skip(std::istream& file, std::uint64_t bytes) {
  constexpr std::uint64_t kMost = 1ULL << 40;  // nothing in a dump has a larger length
  if (bytes > kMost) return file.setstate(std::ios::failbit);
  if (bytes == 0) return;
  file.ignore(static_cast<std::streamsize>(bytes));
  if (static_cast<std::uint64_t>(file.gcount()) != bytes) file.setstate(std::ios::failbit);
}

std::uint64_t ReadBigEndian(std::istream& file, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | static_cast<std::uint8_t>(file.get());
  return value;
}

// Reads a length.  If `encoded` is given, there may be an encoding instead: then sets `*encoded`, and returns the kind
// of the encoded value that follows.
std::uint64_t ReadLength(std::istream& file, bool* encoded = nullptr) {
  const int first = file.get();
  switch (first >> 6) {
    case 0: return first & 0x3f;
    case 1: return static_cast<std::uint64_t>(first & 0x3f) << 8 | ReadBigEndian(file, 1);
    case 2: return ReadBigEndian(file, first == 0x80 ? 4 : 8);
    default: break;
  }
  if (first < 0 || encoded == nullptr) {
    file.setstate(std::ios::failbit);
  } else {
    *encoded = true;
  }
  return first & 0x3f;
}

void SkipString(std::istream& file) {
  bool encoded = false;
  const std::uint64_t length = ReadLength(file, &encoded);
  if (!encoded) return Skip(file, length);
  if (length < 3) return Skip(file, std::uint64_t{1} << length);  // an integer of 1, 2 or 4 bytes
  const std::uint64_t compressed = ReadLength(file);
  (void)ReadLength(file);
  Skip(file, compressed);
}

// Skips what another module keeps beside the keys: the module's id, and values that each begin with their type.
void SkipModuleAux(std::istream& file) {
  (void)ReadLength(file);
  for (;;) {
    switch (ReadLength(file)) {
      case 0: return;
      case 1:
      case 2: (void)ReadLength(file); break;
      case 3: Skip(file, 4); break;
      case 4: Skip(file, 8); break;
      case 5: SkipString(file); break;
      default: file.setstate(std::ios::failbit);
    }
    if (!file) return;
  }
}

// May the data that this command writes be ignored?
using Passes = std::function<bool(std::string_view command)>;

// Reads a dump up to its first key, or to its end.
Finding InDump(std::istream& file, const Passes& passes) {
  Finding nothing;
  Skip(file, std::string_view("REDIS0010").size());
  std::string where = "holds keys";
  while (file) {
    switch (file.get()) {
      case kAux:
        SkipString(file);
        SkipString(file);
        break;
      case kFunction:
        SkipString(file);
        if (!passes("function")) nothing = kFunctions;
        break;
      case kModuleAux: SkipModuleAux(file); break;
      case kSelectDb: where = "holds keys in database " + std::to_string(ReadLength(file)); break;
      case kResizeDb:
        (void)ReadLength(file);
        (void)ReadLength(file);
        break;
      case kEnd: Skip(file, kChecksumBytes); return file ? nothing : Finding(kEndsEarly);
      default: return file ? where : kEndsEarly;
    }
  }
  return kEndsEarly;
}

// --- AOFs: commands in the form in which clients send them, with or without a dump before them.

// The commands that Redis writes to the AOF while FaHA holds the keys.
constexpr std::array<std::string_view, 6> kWithoutKeys = {"select", "multi", "exec", "script", "publish", "ping"};

// The number behind `mark` in the next line; fails the stream if there is none.
std::uint64_t ReadCount(std::istream& file, char mark) {
  std::string line;
  std::getline(file, line);
  std::uint64_t count = 0;
  const bool marked = !line.empty() && line.front() == mark && line.back() == '\r';
  if (!marked || std::from_chars(line.data() + 1, line.data() + line.size() - 1, count).ec != std::errc{}) {
    file.setstate(std::ios::failbit);
  }
  return count;
}

// A file that ends in the middle of a command is normal: its server was killed.
Finding InCommands(std::istream& file, const Passes& passes) {
  while (file.peek() != std::char_traits<char>::eof()) {
    if (file.peek() == '#') {  // a timestamp
      file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
      continue;
    }
    const std::uint64_t count = ReadCount(file, '*');
    const std::uint64_t size = ReadCount(file, '$');
    if (!file && !file.eof()) return "is not readable as an AOF and may hold keys";
    std::string name(std::min<std::uint64_t>(size, 64), '\0');
    file.read(name.data(), static_cast<std::streamsize>(name.size()));
    if (!file) return std::nullopt;
    name = InLowerCase(std::move(name));
    const bool harmless = std::find(kWithoutKeys.begin(), kWithoutKeys.end(), name) != kWithoutKeys.end();
    if (!harmless && !passes(name)) return name == "function" ? kFunctions : "holds writes such as " + name;
    Skip(file, size - name.size() + 2);
    for (std::uint64_t i = 1; i < count && file; ++i) Skip(file, ReadCount(file, '$') + 2);
  }
  return std::nullopt;
}

Finding InFile(const fs::path& path, bool is_aof, const Passes& passes) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  if (!file) return "cannot be read and may hold keys";
  if (file.peek() == std::char_traits<char>::eof()) return std::nullopt;  // empty
  std::array<char, 5> magic{};
  file.read(magic.data(), magic.size());
  const bool is_dump = file && std::string_view(magic.data(), magic.size()) == "REDIS";
  file.clear();
  file.seekg(0);
  if (is_dump) {
    if (Finding found = InDump(file, passes)) return found;
  } else if (!is_aof) {
    return kEndsEarly;
  }
  return is_aof ? InCommands(file, passes) : std::nullopt;
}

// --- Where Redis has these files.

struct File {
  fs::path path;
  bool is_aof = true;
};

// All files of Redis that hold data.  In the directory of AOFs these are the files that Redis reads or overwrites.
// They are recognised by their names, even where no manifest names them.
std::vector<File> RedisFiles(RedisModuleCtx* ctx) {
  const fs::path dir = ConfigValue(ctx, "dir");
  const std::string dump = ConfigValue(ctx, "dbfilename");
  const std::string aof = ConfigValue(ctx, "appendfilename");
  std::vector<File> files;
  if (!dump.empty()) files.push_back({dir / dump, false});
  if (aof.empty()) return files;
  files.push_back({dir / aof});
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir / ConfigValue(ctx, "appenddirname"), error)) {
    const std::string name = entry.path().filename();
    const bool is_aof = name == aof || name.ends_with(".aof") || name.ends_with(".rdb");
    if (name.starts_with(aof) && is_aof) files.push_back({entry.path()});
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}

constexpr std::string_view kWayOfMemory =
    "copy the keys to a FaHA cluster with MIGRATE, or DUMP and RESTORE, and load FaHA into a server without keys";
constexpr std::string_view kWayOfKeys =
    "move the file to another directory, or start without FaHA and copy the keys to a FaHA cluster with MIGRATE, or "
    "DUMP and RESTORE";
constexpr std::string_view kWayOfFunctions =
    "if this node was one of a FaHA cluster, its log has them: move the file to another directory; otherwise set "
    "appendonly yes, so that Redis loads them and FaHA takes them over";

void Complain(const std::string& where, std::string_view way) {
  Log(LogLevel::kWarning, "NATIVEDATA " + where + ", which FaHA did not write and would hide: " + std::string(way) +
                              "; nothing was changed");
}

void OnLoading(RedisModuleCtx* ctx, RedisModuleEvent, uint64_t subevent, void*) {
  static bool replicated = false;
  LookAtBarrierAgain();
  const bool ended = subevent == REDISMODULE_SUBEVENT_LOADING_ENDED || subevent == REDISMODULE_SUBEVENT_LOADING_FAILED;
  TheState().loading = !ended;
  if (ended) FunctionsWereLoaded();
  if (subevent == REDISMODULE_SUBEVENT_LOADING_RDB_START || subevent == REDISMODULE_SUBEVENT_LOADING_AOF_START) {
    replicated = false;
  } else if (subevent == REDISMODULE_SUBEVENT_LOADING_REPL_START) {
    replicated = true;
  } else if (subevent == REDISMODULE_SUBEVENT_LOADING_ENDED) {
    const auto keys = NativeKeys(ctx);
    if (!keys) return;
    if (!replicated) {  // at the start, from a file that was not there before
      Complain("Redis has loaded a file of which " + *keys, kWayOfKeys);
      exit(1);
    }
    RedisModule_ResetDataset(0, 0);
    TheRoles().LeaveStranger(*keys);
  }
}

}  // namespace

std::optional<std::string> NativeKeys(RedisModuleCtx* ctx) {
  const int selected = RedisModule_GetSelectedDb(ctx);
  std::optional<std::string> found;
  for (int db = 0; !found && RedisModule_SelectDb(ctx, db) == REDISMODULE_OK; ++db) {
    const unsigned long long keys = RedisModule_DbSize(ctx);
    if (keys != 0) found = "database " + std::to_string(db) + " holds " + std::to_string(keys) + " keys";
  }
  RedisModule_SelectDb(ctx, selected);
  return found;
}

std::optional<std::string> NativeFiles(RedisModuleCtx* ctx, bool has_pool) {
  const bool loads_aof = ConfigValue(ctx, "appendonly") == "yes";
  for (const File& file : RedisFiles(ctx)) {
    // If FaHA was here before, functions are in its log.  So is the effect of the commands that other modules
    // replicate, because FaHA carried it out when they were called.  Otherwise functions are taken over when Redis
    // loads them; but an AOF that Redis does not load is rewritten as soon as FaHA turns the AOF on.
    const auto passes = [&](std::string_view command) {
      if (command == "function") return has_pool || !file.is_aof || loads_aof;
      return has_pool && (command.find('.') != std::string_view::npos || BuiltInName(ctx, command).empty());
    };
    if (const Finding found = InFile(file.path, file.is_aof, passes))
      return "the file " + file.path.string() + " " + *found;
  }
  return std::nullopt;
}

bool NoNativeData(RedisModuleCtx* ctx, bool has_pool) {
  if (const auto keys = NativeKeys(ctx)) {
    Complain("Redis' own " + *keys, kWayOfMemory);
    return false;
  }
  const auto file = NativeFiles(ctx, has_pool);
  if (file) Complain(*file, file->ends_with(kFunctions) ? kWayOfFunctions : kWayOfKeys);
  return !file;
}

bool StartWatchingLoads(RedisModuleCtx* ctx) {
  return RedisModule_SubscribeToServerEvent(ctx, RedisModuleEvent_Loading, OnLoading) == REDISMODULE_OK;
}

}  // namespace faha::module
