// Addresses are checked whole when they are made, so that a listener or connect fails for what the system says only.
#include "brood/channel/address.hpp"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <sys/un.h>

#include <charconv>
#include <optional>
#include <stdexcept>

namespace brood {
namespace {

// Both forms of a Unix name take one byte more: the path its end, the abstract name its beginning.
constexpr std::size_t longest_unix_name = sizeof(sockaddr_un::sun_path) - 1;

[[noreturn]] void reject(std::string_view text, std::string_view why) {
  // What is wrong may be the text's length, or its bytes: show no more than a line of it.
  std::string shown;
  for (const char c : text.substr(0, 120)) shown += c >= ' ' && c <= '~' ? c : '?';
  throw std::invalid_argument(fmt::format("brood: bad address \"{}\": {}", shown, why));
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<std::uint16_t> port_of(std::string_view digits) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return port;
}

bool is_ipv4(const std::string& host) {
  in_addr parsed;
  return inet_pton(AF_INET, host.c_str(), &parsed) == 1;
}

bool is_ipv6(const std::string& host) {
  in6_addr parsed;
  return inet_pton(AF_INET6, host.c_str(), &parsed) == 1;
}

}  // namespace

address::address(std::string_view text) {
  std::string_view rest = text;
  if (take_prefix(rest, "unix:")) {
    kind_ = take_prefix(rest, "@") ? kind::unix_abstract : kind::unix_path;
    if (rest.empty()) reject(text, "the name is empty");
    if (rest.size() > longest_unix_name) {
      reject(text, fmt::format("the name is longer than {} bytes", longest_unix_name));
    }
    if (rest.find('\0') != std::string_view::npos) reject(text, "a zero byte");
    if (kind_ == kind::unix_path && rest.ends_with('/')) reject(text, "a folder, not a file");
    name_ = rest;
  } else if (take_prefix(rest, "tcp:")) {
    kind_ = kind::tcp;
    const std::size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos) reject(text, "no port");
    const auto port = port_of(rest.substr(colon + 1));
    if (!port) reject(text, "the port is no number from 0 to 65535");
    port_ = *port;
    name_ = rest.substr(0, colon);
    const bool bracketed = name_.size() > 2 && name_.front() == '[' && name_.back() == ']';
    if (bracketed) name_ = name_.substr(1, name_.size() - 2);
    if (name_.find('\0') != std::string::npos) reject(text, "a zero byte");
    if (bracketed ? !is_ipv6(name_) : name_ != "localhost" && !is_ipv4(name_)) {
      reject(text, "the host must be an IPv4 address, an IPv6 address in brackets, or \"localhost\"");
    }
  } else {
    reject(text, "it begins with neither \"unix:\" nor \"tcp:\"");
  }
}

bool address::is_local() const noexcept {
  if (kind_ != kind::tcp || name_ == "localhost") return true;
  in_addr v4;
  if (inet_pton(AF_INET, name_.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6;
  return inet_pton(AF_INET6, name_.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

std::string address::text() const {
  switch (kind_) {
    case kind::unix_path:
      return "unix:" + name_;
    case kind::unix_abstract:
      return "unix:@" + name_;
    case kind::tcp:
      return is_ipv6(name_) ? fmt::format("tcp:[{}]:{}", name_, port_)
                            : fmt::format("tcp:{}:{}", name_, port_);
    case kind::chosen_by_listener:
      break;
  }
  return std::string();
}

address address::from_message(const std::string& text) {
  if (text.empty()) return address();
  try {
    return address(text);
  } catch (const std::invalid_argument& wrong) {
    throw decode_error(wrong.what());
  }
}

}  // namespace brood
