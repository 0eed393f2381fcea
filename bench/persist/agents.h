// Where the backups of a measurement come from.  An agent stands beside each pool and asks the primary, over TCP, what
// to run; it runs that as a process of its own, whose standard input is that connection, until the primary closes it.
// Thread: that of main.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace faha::bench {

// The primary's side.
class Agents {
 public:
  // Listens at `host`; port 0 takes a free one.
  Agents(const std::string& host, std::uint16_t port);
  ~Agents();
  Agents(const Agents&) = delete;
  Agents& operator=(const Agents&) = delete;
  [[nodiscard]] std::uint16_t port() const { return port_; }

  // An agent on this machine, with arguments of its own.
  void Spawn(const std::vector<std::string>& arguments);

  // Backups that run; they end with the object.
  class Running {
   public:
    Running() = default;
    Running(Running&& other) noexcept : sockets_(std::move(other.sockets_)) {}
    ~Running();

   private:
    friend class Agents;
    std::vector<int> sockets_;
  };
  // Has `count` agents run a backup with `arguments`, separated by blanks.  Ends the process if they do not come.
  Running Start(std::size_t count, const std::string& arguments);

 private:
  int listener_;
  std::uint16_t port_;
  std::vector<int> spawned_;
};

// An agent: runs this program with `own` and what the primary at host:port asks for, until the primary is gone.
void ServeAsAgent(const std::string& host, std::uint16_t port, const std::vector<std::string>& own);

}  // namespace faha::bench
