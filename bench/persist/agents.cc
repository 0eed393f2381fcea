#include "bench/persist/agents.h"

#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <sstream>

#include "bench/persist/rig.h"
#include "fabric/socket.h"

extern char** environ;

namespace faha::bench {

namespace {

constexpr int kPatienceMilliseconds = 60'000;  // a guest that is to run an agent may still be booting

// This program again.  `input`: its standard input, or -1 for that of this process.
pid_t RunSelf(std::vector<std::string> arguments, int input) {
  arguments.insert(arguments.begin(), "persist");
  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (input >= 0) posix_spawn_file_actions_adddup2(&actions, input, 0);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) Die({Code::kIoError, fmt::format("this program cannot be run again: {}", ErrnoText(error))});
  return pid;
}

// What the primary asks for; empty if it is gone.
std::string ReadLine(int fd) {
  std::string line;
  for (char c = 0; ::read(fd, &c, 1) == 1;) {
    if (c == '\n') return line;
    line.push_back(c);
  }
  return {};
}

// Connects while the primary may still be starting; -1 if it does not.
int Connect(const std::string& host, std::uint16_t port, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const SocketAddress address = Require(ResolveNumeric({host, port}));
  do {
    const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) Die({Code::kUnavailable, fmt::format("no socket: {}", ErrnoText(errno))});
    if (::connect(fd, address.get(), address.size) == 0) return fd;
    ::close(fd);
    ::poll(nullptr, 0, 20);
  } while (std::chrono::steady_clock::now() < deadline);
  return -1;
}

}  // namespace

Agents::Agents(const std::string& host, std::uint16_t port)
    : listener_(Require(OpenListener({host, port}))), port_(LocalPort(listener_)) {}

Agents::~Agents() {
  ::close(listener_);
  for (const int pid : spawned_) ::waitpid(pid, nullptr, 0);
}

void Agents::Spawn(const std::vector<std::string>& arguments) { spawned_.push_back(RunSelf(arguments, -1)); }

Agents::Running Agents::Start(std::size_t count, const std::string& arguments) {
  Running running;
  while (running.sockets_.size() < count) {
    pollfd ready{.fd = listener_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kPatienceMilliseconds) != 1) Die({Code::kUnavailable, "no agent comes for a backup"});
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::string line = arguments + "\n";
    if (::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
      ::close(fd);
      continue;
    }
    running.sockets_.push_back(fd);
  }
  return running;
}

Agents::Running::~Running() {
  // The backup answers by closing its end: its pool is free again then.
  for (const int fd : sockets_) {
    ::shutdown(fd, SHUT_WR);
    (void)ReadLine(fd);
    ::close(fd);
  }
}

void ServeAsAgent(const std::string& host, std::uint16_t port, const std::vector<std::string>& own) {
  auto patience = std::chrono::milliseconds(kPatienceMilliseconds);
  for (int fd = -1; (fd = Connect(host, port, patience)) >= 0; ::close(fd)) {
    patience = std::chrono::milliseconds(0);
    std::istringstream words(ReadLine(fd));
    std::vector<std::string> arguments = own;
    for (std::string word; words >> word;) arguments.push_back(word);
    if (arguments.size() == own.size()) break;
    const pid_t pid = RunSelf(arguments, fd);
    ::waitpid(pid, nullptr, 0);
  }
}

}  // namespace faha::bench
