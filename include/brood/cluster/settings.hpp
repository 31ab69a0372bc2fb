// What is set when a process joins a cluster.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "brood/channel/address.hpp"
#include "brood/channel/authkey.hpp"

namespace brood::cluster {

/// What the engine must do with what it acknowledged.
enum class durability : std::uint8_t {
  any,  ///< whatever it is set to; a restart may lose everything, which is found and mended as far as docs/cluster.md says
  everysec,  ///< an append-only file at least, which may lack the last two seconds
  always,    ///< an append-only file written before each answer
};

/// Whom to join, and how; what the setters of `connect` set.
struct settings {
  brood::address where;                     ///< of the engine
  authkey key;                              ///< of the cluster; the engine never sees it
  std::string name = "brood";               ///< of the cluster: several can share an engine
  std::string user{};                       ///< of the engine's access control list; empty: none
  std::string password{};                   ///< of that user, or of the engine; empty: none
  std::chrono::milliseconds lease{10'000};  ///< who is not heard of for so long is over
  std::chrono::milliseconds patience{
      60'000};  ///< how long an operation waits for an engine that is not there
  durability required = durability::any;
};

}  // namespace brood::cluster
