#include "module/limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "module/state.h"

namespace faha::module {
namespace {

// The files that FaHA needs: for peers, for strangers at the replication port, and for files that are open at times.
constexpr rlim_t kFiles = 160;
// The files that Redis itself needs, in addition to those of clients.
constexpr rlim_t kRedisFiles = 32;
// Address space for the server, its libraries and its threads' stacks, in addition to the pool and to what is in use
// already.
constexpr std::uint64_t kRoom = std::uint64_t{256} << 20;

void RaiseOpenFiles(RedisModuleCtx* ctx) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const rlim_t clients = std::stoul("0" + ConfigValue(ctx, "maxclients"));
  const rlim_t wanted = clients + kRedisFiles + kFiles;
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == wanted) return;
  Log(LogLevel::kWarning, "BADCONFIG the limit of " + std::to_string(limit.rlim_cur) +
                              " open files leaves few for peers beside " + std::to_string(clients) +
                              " clients: raise it to " + std::to_string(wanted) +
                              " (ulimit -n, LimitNOFILE), or lower maxclients");
}

Status CheckAddressSpace(const Options& options) {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return Status::Ok();
  std::error_code error;
  const auto present = std::filesystem::file_size(options.pool_path, error);
  const std::uint64_t pool = std::max<std::uint64_t>(error ? 0 : present, options.pool_bytes);
  if (limit.rlim_cur >= pool + kRoom) return Status::Ok();
  return {Code::kBadConfig, "the limit of " + std::to_string(limit.rlim_cur) +
                                " bytes of address space cannot hold a pool of " + std::to_string(pool) +
                                " beside the server: raise it (ulimit -v, LimitAS)"};
}

}  // namespace

Status CheckLimits(RedisModuleCtx* ctx, const Options& options) {
  RaiseOpenFiles(ctx);
  return CheckAddressSpace(options);
}

}  // namespace faha::module
