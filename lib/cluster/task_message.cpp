#include "cluster/task_message.hpp"

#include <fmt/format.h>

#include "brood/process/exit_status.hpp"
#include "cluster/seal.hpp"

namespace brood::cluster::detail {
namespace {

struct thrown_record {
  std::string type;
  std::string what;
  std::string process;
  std::int32_t pid = 0;
  std::string trace;
};

struct death_record {
  std::string name;
  std::int32_t pid = 0;
  std::int32_t exitcode = 0;
  std::int32_t signal = 0;
  bool deadline_passed = false;
};

std::string text_of(const bytes& from) { return std::string(as_text(from)); }

item_result thrown_result(std::string type, std::string what, std::string process, int pid,
                          std::string trace) {
  thrown_record record;
  record.type = std::move(type);
  record.what = std::move(what);
  record.process = std::move(process);
  record.pid = pid;
  record.trace = std::move(trace);
  return {item_result::kind::thrown, encode(record)};
}

}  // namespace

std::string task_queue(const std::string& build) { return "t:" + build; }

std::string write_task(const task_message& message) { return text_of(encode(message)); }
task_message read_task(std::string_view text) { return decode<task_message>(as_data(text)); }
std::string write_results(const std::vector<item_result>& results) { return text_of(encode(results)); }
std::vector<item_result> read_results(std::string_view text) {
  return decode<std::vector<item_result>>(as_data(text));
}

item_result result_of(const std::exception_ptr& why, const std::string& host) {
  try {
    std::rethrow_exception(why);
  } catch (const remote_error& e) {
    return thrown_result(e.type(), e.what(), fmt::format("{} on {}", e.process_name(), host), e.pid(),
                         e.trace());
  } catch (const child_died& e) {
    death_record record;
    record.name = "a worker on " + host;
    record.pid = e.pid();
    record.exitcode = e.status().exitcode;
    record.signal = e.status().signal;
    record.deadline_passed = e.status().deadline_passed;
    return {item_result::kind::died, encode(record)};
  } catch (const unknown_function& e) {
    return thrown_result("brood::unknown_function", e.what(), host, 0, "");
  } catch (const decode_error& e) {
    return thrown_result("brood::decode_error", e.what(), host, 0, "");
  } catch (const std::exception& e) {
    return thrown_result("std::exception", e.what(), host, 0, "");
  } catch (...) {
    return thrown_result("", "unknown", host, 0, "");
  }
}

std::exception_ptr failure_of(const item_result& result) {
  try {
    if (result.what == item_result::kind::thrown) {
      auto record = decode<thrown_record>(result.value);
      throw remote_error(std::move(record.type), record.what, std::move(record.process), record.pid,
                         std::move(record.trace));
    }
    if (result.what == item_result::kind::died) {
      const auto record = decode<death_record>(result.value);
      exit_status status;
      status.exitcode = record.exitcode;
      status.signal = record.signal;
      status.deadline_passed = record.deadline_passed;
      throw child_died(record.name, record.pid, status);
    }
    if (result.what == item_result::kind::host_lost) throw host_lost();
    if (result.what == item_result::kind::refused) {
      throw error(
          "brood::cluster: a host refused the task, as no member of the cluster has sent it as it is");
    }
    throw decode_error("a kind of result that there is not");
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace brood::cluster::detail
