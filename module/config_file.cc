#include "module/config_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "module/commands.h"
#include "module/config.h"
#include "module/rights.h"
#include "module/scratch.h"
#include "module/state.h"

namespace faha::module {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 5> kRedisSecrets = {"masteruser", "masterauth", "requirepass",
                                                           "tls-key-file-pass", "tls-client-key-file-pass"};

// The real path of the file, with all links resolved; empty if the server has no configuration file.
std::string Path(RedisModuleCtx* ctx) {
  RedisModuleServerInfoData* info = RedisModule_GetServerInfo(ctx, "server");
  const char* field = RedisModule_ServerInfoGetFieldC(info, "config_file");
  const std::string named = field == nullptr ? "" : field;
  RedisModule_FreeServerInfo(ctx, info);
  if (named.empty()) return named;
  std::error_code error;
  const fs::path real = fs::canonical(named, error);
  return error ? named : real.string();
}

std::vector<std::string> Lines(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(std::move(line));
  return lines;
}

// The setting that a line sets, in lower case and without quotes.
std::string Setting(const std::string& line) {
  std::istringstream words(line);
  std::string word;
  words >> word;
  std::erase_if(word, [](char c) { return c == '"' || c == '\''; });
  return InLowerCase(std::move(word));
}

bool Sets(const std::vector<std::string>& lines, std::string_view setting) {
  return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) { return Setting(line) == setting; });
}

Status Failed(const std::string& path) {
  return {Code::kIoError, path + " cannot be changed: " + std::strerror(errno) +
                              "; if this node ever loses its pool, name a living member with replicaof yourself"};
}

bool WriteAll(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return fsync(file) == 0;
}

// Replaces the file as a whole or not at all; the mode and the owner stay the same.
Status Replace(const std::string& path, std::string_view text) {
  struct stat old = {};
  if (stat(path.c_str(), &old) != 0) return Failed(path);
  std::string temporary = path + ".XXXXXX";
  const int file = mkostemp(temporary.data(), O_CLOEXEC);
  if (file < 0) return Failed(path);
  // If the process may not set the old owner, the file gets this process' owner, as when an editor has saved it.
  const bool written = WriteAll(file, text) && fchmod(file, old.st_mode & 07777) == 0 &&
                       (fchown(file, old.st_uid, old.st_gid) == 0 || errno == EPERM);
  const bool done = written && rename(temporary.c_str(), path.c_str()) == 0;
  const Status status = done ? Status::Ok() : Failed(path);
  if (!done) unlink(temporary.c_str());
  close(file);
  return status;
}

}  // namespace

void KeepReplicaOf(RedisModuleCtx* ctx, const std::optional<Endpoint>& primary) {
  static std::string complained;
  const std::string path = Path(ctx);
  if (path.empty()) return;
  const std::vector<std::string> lines = Lines(path);
  std::string wanted = primary ? "replicaof " + primary->host + " " + std::to_string(primary->port) + "\n" : "";
  std::string text, before;
  for (const std::string& line : lines) {
    before += line + "\n";
    const std::string setting = Setting(line);
    text += setting == "replicaof" || setting == "slaveof" ? std::exchange(wanted, "") : line + "\n";
  }
  text += wanted;
  if (text == before) return;
  const Status status = Replace(path, text);
  if (std::exchange(complained, status.ok() ? "" : status.ToString()) == complained || status.ok()) return;
  Log(LogLevel::kWarning, complained);
}

namespace server {

namespace {
// Other nodes find this node by these settings, and send clients there.  They learn them only when this node starts.
// (replica-announce-ip, which tests of Redis change at run time, is also read only when a node starts.)
constexpr std::array<std::string_view, 3> kAddress = {"port", "replica-announce-port", "slave-announce-port"};

std::optional<Reply> RefusedForMembers(const Call& call) {
  if (call.store().Info().members.size() <= 1) return std::nullopt;
  for (int i = 2; i + 1 < call.size(); i += 2) {
    const auto name = std::find_if(kAddress.begin(), kAddress.end(), [&](auto each) { return call.Is(i, each); });
    if (name == kAddress.end()) continue;
    return Reply::Error("BADCONFIG the other nodes know this one by its address, and send clients there: set " +
                        std::string(*name) + " in its configuration file and restart it");
  }
  return std::nullopt;
}
}  // namespace

// CONFIG SET: works as in Redis, except that it hides FaHA's secrets, which Redis 7.0 would show in SLOWLOG.  Redis
// hides its own secrets only in the command that it runs itself, and not in the client's command, which is this one.
Reply SetConfig(Call& call) {
  if (auto error = RefusedForMembers(call)) return *std::move(error);
  std::vector<RedisModuleString*> others;
  std::optional<std::string_view> password;
  for (int i = 2; i + 1 < call.size(); i += 2) {
    const bool secret = call.Is(i, "faha.secret"), is_password = call.Is(i, "faha.sentinel-password");
    const bool hidden = std::any_of(kRedisSecrets.begin(), kRedisSecrets.end(),
                                    [&](std::string_view name) { return call.Is(i, name); });
    if (secret || is_password || hidden) RedisModule_RedactClientCommandArgument(call.ctx(), i + 1);
    if (secret)
      return Reply::Error(
          "ERR CONFIG SET failed (possibly related to argument 'faha.secret') - can't set immutable config");
    if (is_password) {
      password = call.arg(i + 1);
    } else {
      others.insert(others.end(), {call.raw(i), call.raw(i + 1)});
    }
  }
  if (call.size() % 2 != 0 || (!password && !others.empty())) return Reply::Native(RunNative(call, "config"));
  if (password && password->size() > kMaxText)
    return Reply::Error(
        "ERR CONFIG SET failed (possibly related to argument 'faha.sentinel-password') - it must have 1 to 200 "
        "characters");
  if (!others.empty()) {
    const NativeReply native(CallServer(call.ctx(), "CONFIG", "Ecv", "SET", others.data(), others.size()),
                             RedisModule_FreeCallReply);
    if (native == nullptr || IsError(native)) return Reply::Native(native);
  }
  SetSentinelPassword(std::string(*password));
  return Reply::Ok();
}

// CONFIG REWRITE
Reply RewriteConfig(Call& call) {
  const std::string path = Path(call.ctx());
  if (!path.empty()) {
    const std::vector<std::string> lines = Lines(path);
    if (!Sets(lines, "loadmodule")) {
      return Reply::Error("BADCONFIG " + path +
                          " is not the whole configuration, for FaHA is loaded from elsewhere: CONFIG REWRITE would "
                          "load it twice; write what you have changed into your files yourself");
    }
    struct stat old = {};
    const bool known = stat(path.c_str(), &old) == 0;
    const HiddenSecrets hidden([&](std::string_view setting) { return !Sets(lines, setting); });
    const OwnRules rules(call.ctx());
    Reply reply = Reply::Native(RunNative(call, "config"));
    // Redis makes the file readable for everybody.
    if (known && chmod(path.c_str(), old.st_mode & 07777) != 0) Log(LogLevel::kWarning, Failed(path).ToString());
    return reply;
  }
  return Reply::Native(RunNative(call, "config"));
}

}  // namespace server
}  // namespace faha::module
