#include "module/config.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <limits>
#include <numeric>
#include <string>

#include "faha/collections.h"
#include "module/peer_names.h"
#include "module/state.h"

namespace faha::module {
namespace {

constexpr unsigned kFixed = REDISMODULE_CONFIG_IMMUTABLE;
constexpr unsigned kFixedMemory = REDISMODULE_CONFIG_IMMUTABLE | REDISMODULE_CONFIG_MEMORY;
constexpr long long kMaxBytes = std::numeric_limits<long long>::max();

// What the operator has set.  The store has its own copy, extended by values that follow from it, and is told every
// change.
const Options& Configured() { return TheState().options; }
template <auto kField, typename T>
void Configure(const T& value) {
  TheState().options.*kField = value;
  if (TheState().store) TheState().store->Tune([&](Options& options) { options.*kField = value; });
}

// A number that lives in a field of Options; kField names it and its conversion.
template <auto kField>
struct Number {
  static long long Get(const char*, void*) { return Value(Configured()); }
  static int Set(const char*, long long value, void*, RedisModuleString**) {
    using Field = std::decay_t<decltype(Options{}.*kField)>;
    Configure<kField>(static_cast<Field>(value));
    return REDISMODULE_OK;
  }
  static long long Value(const Options& options) { return Plain(options.*kField); }

 private:
  static long long Plain(std::chrono::milliseconds value) { return value.count(); }
  static long long Plain(std::chrono::microseconds value) { return value.count(); }
  template <typename T>
  static long long Plain(T value) {
    return static_cast<long long>(value);
  }
};

// Is the secret in that field to be hidden?
template <auto kField>
bool hidden = false;

template <auto kField>
struct Text {
  static RedisModuleString* Get(const char*, void*) {
    static RedisModuleString* shown = nullptr;  // Redis copies it
    if (shown != nullptr) RedisModule_FreeString(nullptr, shown);
    const std::string value = hidden<kField> ? "" : Configured().*kField;
    shown = RedisModule_CreateString(nullptr, value.data(), value.size());
    return shown;
  }
  static int Set(const char*, RedisModuleString* value, void*, RedisModuleString** error) {
    if (View(value).size() > kMaxText || (View(value).empty() && !(Options{}.*kField).empty())) {
      *error = RedisModule_CreateString(nullptr, "it must have 1 to 200 characters", 32);
      return REDISMODULE_ERR;
    }
    Configure<kField>(std::string(View(value)));
    return REDISMODULE_OK;
  }
};

template <auto kField>
struct Flag {
  static int Get(const char*, void*) { return Configured().*kField ? 1 : 0; }
  static int Set(const char*, int value, void*, RedisModuleString**) {
    Configure<kField>(value != 0);
    return REDISMODULE_OK;
  }
};

template <auto kField>
bool AddNumber(RedisModuleCtx* ctx, const char* name, unsigned flags, long long min, long long max) {
  using Config = Number<kField>;
  return RedisModule_RegisterNumericConfig(ctx, name, Config::Value(Options{}), flags, min, max, Config::Get,
                                           Config::Set, nullptr, nullptr) == REDISMODULE_OK;
}

template <auto kField>
bool AddText(RedisModuleCtx* ctx, const char* name, unsigned flags = kFixed) {
  const std::string standard = Options{}.*kField;
  return RedisModule_RegisterStringConfig(ctx, name, standard.c_str(), flags, Text<kField>::Get, Text<kField>::Set,
                                          nullptr, nullptr) == REDISMODULE_OK;
}

template <auto kField>
bool AddFlag(RedisModuleCtx* ctx, const char* name) {
  return RedisModule_RegisterBoolConfig(ctx, name, Options{}.*kField ? 1 : 0, REDISMODULE_CONFIG_DEFAULT,
                                        Flag<kField>::Get, Flag<kField>::Set, nullptr, nullptr) == REDISMODULE_OK;
}

constexpr const char* kFabrics[] = {"auto", "tcp", "rdma"};
constexpr const char* kTls[] = {"auto", "yes", "no"};
constexpr const char* kDomains[] = {"auto", "volatile", "page", "cacheline", "cpu_cache"};

// A setting that is one word of `kWords`; the first word is the default.
template <auto kField, const auto& kWords>
struct Choice {
  static int Get(const char*, void*) {
    const auto found = std::find(std::begin(kWords), std::end(kWords), Configured().*kField);
    return found == std::end(kWords) ? 0 : static_cast<int>(found - std::begin(kWords));
  }
  static int Set(const char*, int value, void*, RedisModuleString**) {
    Configure<kField>(std::string(kWords[value]));
    return REDISMODULE_OK;
  }
};

template <auto kField, const auto& kWords>
bool AddChoice(RedisModuleCtx* ctx, const char* name) {
  int values[std::size(kWords)];
  std::iota(std::begin(values), std::end(values), 0);
  using Config = Choice<kField, kWords>;
  return RedisModule_RegisterEnumConfig(ctx, name, 0, kFixed, const_cast<const char**>(kWords), values,
                                        std::size(kWords), Config::Get, Config::Set, nullptr,
                                        nullptr) == REDISMODULE_OK;
}

#ifdef FAHA_MUTANTS
int GetMutant(const char*, void*) { return static_cast<int>(TheState().gate.mutant); }
int SetMutant(const char*, int value, void*, RedisModuleString**) {
  TheState().gate.mutant = static_cast<Mutant>(value);
  return REDISMODULE_OK;
}
bool AddMutants(RedisModuleCtx* ctx) {
  static const char* names[] = {"none", "no-window-commit", "no-precommit", "no-barrier", "no-own-commit"};
  static const int values[] = {0, 1, 2, 3, 4};
  return RedisModule_RegisterEnumConfig(ctx, "mutant", 0, REDISMODULE_CONFIG_DEFAULT, names, values, 5, GetMutant,
                                        SetMutant, nullptr, nullptr) == REDISMODULE_OK;
}
#else
bool AddMutants(RedisModuleCtx*) { return true; }
#endif

bool Register(RedisModuleCtx* ctx) {
  return AddText<&Options::pool_path>(ctx, "pool-path") &&
         AddNumber<&Options::pool_bytes>(ctx, "pool-bytes", kFixedMemory, 1, kMaxBytes) &&
         AddNumber<&Options::segment_bytes>(ctx, "segment-bytes", kFixedMemory, 0, kMaxBytes) &&
         AddChoice<&Options::persistence_domain, kDomains>(ctx, "persistence-domain") &&
         AddChoice<&Options::fabric, kFabrics>(ctx, "fabric") &&
         AddNumber<&Options::rdma_spin>(ctx, "rdma-spin", REDISMODULE_CONFIG_DEFAULT, 0, 10'000) &&
         AddNumber<&Options::hot_bytes>(ctx, "hot-bytes", REDISMODULE_CONFIG_MEMORY, 0, kMaxBytes) &&
         AddNumber<&Options::packed_bytes>(ctx, "packed-bytes", REDISMODULE_CONFIG_MEMORY, 0, 1 << 20) &&
         AddNumber<&Options::packed_elements>(ctx, "packed-elements", REDISMODULE_CONFIG_DEFAULT, 0,
                                              kMaxPackedElements) &&
         AddNumber<&Options::batch_bytes>(ctx, "batch-bytes", REDISMODULE_CONFIG_MEMORY, 64, 1 << 30) &&
         AddNumber<&Options::batch_depth>(ctx, "batch-depth", REDISMODULE_CONFIG_DEFAULT, 1, 1 << 20) &&
         AddFlag<&Options::backup_reads>(ctx, "backup-reads") &&
         AddNumber<&Options::min_acks>(ctx, "min-acks", REDISMODULE_CONFIG_DEFAULT, 0, 64) &&
         AddNumber<&Options::persist_timeout>(ctx, "persist-timeout", REDISMODULE_CONFIG_DEFAULT, 1, 3600'000) &&
         AddNumber<&Options::lease>(ctx, "lease", kFixed, 50, 3600'000) && AddText<&Options::bind>(ctx, "bind") &&
         AddText<&Options::announce_host>(ctx, "announce-host") && AddText<&Options::peer_host>(ctx, "peer-host") &&
         AddNumber<&Options::feature_level>(ctx, "feature-level", kFixed, kLowestLevel, kHighestLevel) &&
         AddText<&Options::secret>(ctx, "secret", kFixed | REDISMODULE_CONFIG_SENSITIVE) &&
         AddFlag<&Options::sentinel_failover>(ctx, "sentinel-failover") &&
         AddText<&Options::sentinel_password>(ctx, "sentinel-password", REDISMODULE_CONFIG_SENSITIVE) &&
         AddText<&Options::secret_file>(ctx, "secret-file") && AddChoice<&Options::tls, kTls>(ctx, "tls") &&
         AddNumber<&Options::port>(ctx, "port", kFixed, 0, 65535) &&
         AddNumber<&Options::peer_port>(ctx, "peer-port", kFixed, 0, 65535) &&
         AddNumber<&Options::port_offset>(ctx, "port-offset", kFixed, 1, 65535) && AddMutants(ctx);
}

bool IsLoopback(const std::string& host) { return host.starts_with("127.") || host == "::1" || host == "localhost"; }

bool Refuse(const std::string& line) {
  Log(LogLevel::kWarning, "BADCONFIG " + line);
  return false;
}

// Decides whether to use TLS, and takes over the server's own files for it.  A server that was built without TLS has no
// such settings.
bool DeriveTls(RedisModuleCtx* ctx, Options& options) {
  const std::string server_does = ConfigValue(ctx, "tls-replication");
  if (options.tls == "yes" && server_does.empty()) {
    return Refuse("faha.tls yes needs a server that was built with TLS: take one, or set faha.tls to no");
  }
  if (options.tls == "auto") options.tls = server_does == "yes" ? "yes" : "no";
  if (options.tls != "yes") return true;
  options.tls_files = {ConfigValue(ctx, "tls-cert-file"), ConfigValue(ctx, "tls-key-file"),
                       ConfigValue(ctx, "tls-key-file-pass"), ConfigValue(ctx, "tls-ca-cert-file"),
                       ConfigValue(ctx, "tls-ca-cert-dir")};
  return true;
}

// Sets the addresses that the store runs with.  The ports follow from the server's own ports; if Redis announces
// another address as a replica, FaHA announces that address, too.
bool DeriveAddresses(RedisModuleCtx* ctx, Options& options) {
  const auto number = [&](const char* name) { return std::stoi("0" + ConfigValue(ctx, name)); };
  const int own = number("port") != 0 ? number("port") : number("tls-port");
  const int announced = number("replica-announce-port");
  options.redis_port = static_cast<std::uint16_t>(announced != 0 ? announced : own);
  const std::string host = ConfigValue(ctx, "replica-announce-ip");
  if (!host.empty() && options.announce_host == Options{}.announce_host)
    options.announce_host = Numeric({host, 0}).host;
  for (const auto& [name, value] :
       {std::pair{"announce-host", &options.announce_host}, {"peer-host", &options.peer_host}}) {
    const bool plain =
        std::all_of(value->begin(), value->end(), [](unsigned char c) { return std::isgraph(c) != 0 && c != ','; });
    if (!plain)
      return Refuse("faha." + std::string(name) + " '" + *value + "' is no address: use one, such as 192.0.2.1");
  }
  if (!options.peer_host.empty() && options.feature_level < kPeerHostLevel) {
    return Refuse("faha.peer-host needs faha.feature-level " + std::to_string(kPeerHostLevel) +
                  ": raise it, or leave one of the two out");
  }
  if (options.port != 0 || own == 0) return true;
  const int port = own + options.port_offset;
  if (port > 65535) {
    return Refuse("port " + std::to_string(own) + " plus faha.port-offset " + std::to_string(options.port_offset) +
                  " is no port: set faha.port-offset on all nodes, or faha.port");
  }
  options.port = static_cast<std::uint16_t>(port);
  return true;
}

}  // namespace

void SetSentinelPassword(const std::string& password) { Configure<&Options::sentinel_password>(password); }

HiddenSecrets::HiddenSecrets(const std::function<bool(std::string_view)>& hide) {
  hidden<& Options::secret> = hide("faha.secret");
  hidden<& Options::sentinel_password> = hide("faha.sentinel-password");
}

HiddenSecrets::~HiddenSecrets() { hidden<& Options::secret> = hidden<& Options::sentinel_password> = false; }

bool LoadConfigs(RedisModuleCtx* ctx, Options& effective) {
  if (!Register(ctx) || RedisModule_LoadConfigs(ctx) != REDISMODULE_OK) {
    return Refuse("a faha.* option has a value that cannot be used: see the line above");
  }
  const Options& options = TheState().options;
  if (ConfigValue(ctx, "cluster-enabled") == "yes") {
    return Refuse(
        "cluster-enabled yes does not work with FaHA: slots are moved by commands that see Redis' own keyspace; "
        "set it to no");
  }
  if (!IsLoopback(options.bind) && options.secret.empty() && options.secret_file.empty()) {
    return Refuse("faha.bind " + options.bind +
                  " is not a loopback address, and there is no faha.secret or faha.secret-file: set the same secret on "
                  "all nodes");
  }
  effective = options;
  return DeriveTls(ctx, effective) && DeriveAddresses(ctx, effective);
}

}  // namespace faha::module
