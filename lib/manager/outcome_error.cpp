#include "manager/outcome_error.hpp"

#include <unistd.h>

#include "brood/manager/error.hpp"
#include "brood/process/current.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "runtime/throw_trace.hpp"

namespace brood::remote {

std::string read_text(detail::byte_reader& in) {
  const std::size_t size = in.read_block_count("text", "bytes", 1);
  const std::byte* data = in.take(size);
  return std::string(reinterpret_cast<const char*>(data), size);
}

std::exception_ptr error_of(outcome how, detail::byte_reader& in) {
  std::string type;
  if (how == outcome::exception) type = read_text(in);
  const std::string what = read_text(in);
  switch (how) {
    case outcome::exception: {
      const std::string process = read_text(in);
      const std::uint64_t pid = in.read_number();
      const std::string trace = read_text(in);
      return std::make_exception_ptr(remote_error(type, what, process, static_cast<int>(pid), trace));
    }
    case outcome::gone:
      return std::make_exception_ptr(object_gone(what));
    case outcome::closed:
      return std::make_exception_ptr(closed(what));
    case outcome::refused:
      return std::make_exception_ptr(call_refused(what));
    case outcome::broken:
      return std::make_exception_ptr(
          remote_error("brood::broken_barrier", what, std::string(), 0, std::string()));
    case outcome::cancelled:
      return std::make_exception_ptr(cancelled());
    case outcome::value:
      break;
  }
  throw decode_error("an answer with an unknown outcome");
}

void put_current_error(bytes& out) {
  const auto put = [&out](const std::string& type, std::string_view what, const std::string& process,
                          std::uint64_t pid, const std::string& trace) {
    out.push_back(static_cast<std::byte>(outcome::exception));
    put_text(out, type);
    put_text(out, what);
    put_text(out, process);
    put_count(out, pid);
    put_text(out, trace);
  };
  const auto put_own = [&put](const std::string& type, std::string_view what) {
    put(type, what, current_process().name(), static_cast<std::uint64_t>(::getpid()),
        detail::throw_trace(std::current_exception()));
  };
  try {
    throw;
  } catch (const failure& e) {
    out.push_back(static_cast<std::byte>(e.how()));
    put_text(out, e.what());
  } catch (const remote_error& e) {  // from a worker, say: its own type
    put(e.type(), e.what(), e.process_name(), static_cast<std::uint64_t>(e.pid()), e.trace());
  } catch (const std::exception& e) {
    put_own(detail::type_name(typeid(e)), e.what());
  } catch (...) {
    put_own(detail::describe(std::current_exception()), {});
  }
}

}  // namespace brood::remote
