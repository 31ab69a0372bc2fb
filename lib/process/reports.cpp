// The supervisor hears what children report.
#include "process/supervisor.hpp"

#include <fmt/core.h>

#include <cstring>
#include <new>
#include <system_error>

#include "system/error.hpp"
#include "system/memory_file.hpp"
#include "system/socket.hpp"

namespace brood::detail {

void supervisor::read_reports(int most) {
  for (int i = 0; i < most; ++i) {
    sys::received message;
    if (sys::receive_message(connection_.results.get(), report_buffer_, message) != sys::transfer::done)
      return;
    handle_report(std::span(report_buffer_).first(message.size), std::move(message.fds));
  }
}

void supervisor::handle_report(std::span<const std::byte> message, std::vector<unique_fd> fds) {
  child_report report;
  if (message.size() < sizeof report) return;
  std::memcpy(&report, message.data(), sizeof report);
  const auto found = children_.find(report.id);
  if (found == children_.end()) return;
  child& child = *found->second;
  if (report.kind == child_report::what::ready) {
    child.confirm = false;
    if (child.pid != 0 && !child.failure && !child.unwanted) child.launched.set();
    return;
  }
  if (report.kind == child_report::what::has_arguments) {
    child.argument_objects.clear();
    return;
  }
  child.report = report.kind;
  if (report.body_in_file) {
    receive_large_report(child, fds);
  } else {
    const auto body = message.subspan(sizeof report);
    try {
      child.report_body.assign(body.begin(), body.end());
    } catch (const std::bad_alloc&) {
      child.failure = std::current_exception();
      return;
    }
  }
  hold_objects(child, report.objects);
}

/// The child may be dying already, but what it holds is its own until it is reaped: time enough to take references.
void supervisor::hold_objects(child& child, std::size_t count) {
  const auto body = child.reported();
  if (count > body.size() / sizeof(object_in_result)) return;
  for (std::size_t i = 0; i < count; ++i) {
    object_in_result object;
    std::memcpy(&object, body.data() + i * sizeof object, sizeof object);
    try {
      child.result_objects.emplace_back(object.name, object.kind);
    } catch (const std::exception&) {  // the arena is full, or there is no memory
      if (!child.failure) child.failure = std::current_exception();
      return;
    }
  }
  child.report_begin = count * sizeof(object_in_result);
}

void supervisor::receive_large_report(child& child, const std::vector<unique_fd>& fds) {
  try {
    if (fds.empty()) sys::throw_errno("its descriptor", EMFILE);  // this process is at its limit
    child.large_report = sys::map_whole(fds.front().get());
  } catch (const std::system_error& e) {
    child.failure = std::make_exception_ptr(
        std::system_error(e.code(), fmt::format("brood: cannot receive the result of {}", child.name)));
  }
}
}  // namespace brood::detail
