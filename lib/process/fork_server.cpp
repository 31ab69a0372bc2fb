// A loop of three steps: receive a request, clone, reply. It blocks in nothing but the wait for the next request.
// A server that cannot go on ends: its parent reads in the spawn table what has been made, and asks another for the rest.
#include "process/fork_server.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string_view>
#include <system_error>
#include <unordered_map>

#include "brood/arena/family_memory.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "brood/sync/shared_memory.hpp"
#include "process/caretaker.hpp"
#include "process/child_main.hpp"
#include "process/family.hpp"
#include "process/program_start.hpp"
#include "process/supervisor.hpp"
#include "runtime/log.hpp"
#include "runtime/trace_file.hpp"
#include "system/calls.hpp"
#include "system/clone.hpp"
#include "system/descriptor.hpp"
#include "system/error.hpp"
#include "system/memory_file.hpp"
#include "system/pidfd.hpp"
#include "system/signals.hpp"
#include "system/socket.hpp"
#include "system/standing.hpp"

namespace brood::detail {
namespace {

class fork_server {
 public:
  explicit fork_server(server_setup setup) : setup_(std::move(setup)), table_(setup_.table_file.get()) {
    replies_.reserve(most_replies);  // what has been made is told, whatever memory there is then
    pidfds_.reserve(most_replies);
  }

  [[noreturn, gnu::hot]] void run() {
    say_hello();
    for (;;) {
      const sys::transfer got = sys::receive_message(setup_.control.get(), buffer_, message_);
      if (got == sys::transfer::gone) end();
      if (got == sys::transfer::done) handle_request();
      if (got == sys::transfer::would_block || statuses_) {
        send_replies();
        wait_for_event();
      }
    }
  }

 private:
  /// Tells the parent, which waits for it, how children are made, or why none can be.
  void say_hello() {
    launch_reply hello;
    hello.kind = launch_reply::what::hello;
    std::vector<std::byte> more;  // what failed, or where this process stands
    try {
      prepare(hello);
      if (setup_.fresh) more = own_identity(hello);
    } catch (const std::exception& e) {
      hello.failed = stage::receive_request;
      const auto text = std::as_bytes(std::span(std::string_view(e.what())));
      more.assign(text.begin(), text.end());
    }
    tell({sys::bytes_of(hello), more});
  }

  /// Decides how children are made, and runs `preload`.
  void prepare(launch_reply& hello) {
    const process_model model = family::get().settings.model;
    if (model != process_model::relay && sys::thread_identity::find(identity_)) {
      siblings_ = sys::clones_are_sound(identity_, true, table_.canary());
    }
    if (model == process_model::siblings && !siblings_) hello.error = ENOSYS;
    hello.siblings = siblings_;
    if (!siblings_) {
      statuses_ = unique_fd(sys::epoll_create1(EPOLL_CLOEXEC));
      if (!statuses_) sys::throw_errno("the fork server cannot serve: epoll_create1");
      raise_descriptor_limit();
    }
    rehearse();
    // A clone of a child has what its own server loaded already.
    if (auto* preload = family::get().is_child ? nullptr : family::get().settings.preload) {
      try {
        preload();
      } catch (...) {
        throw error("preload failed: " + describe(std::current_exception()));
      }
    }
    install_crash_handlers();  // in front of those that `preload` may have installed
  }

  /// For the parent to compare. The id of the message is the size of its first part.
  static std::vector<std::byte> own_identity(launch_reply& hello) {
    sys::standing own;
    sys::standing_reader().read(own);
    hello.id = own.ids.size();
    const std::string text = own.ids + own.place;
    const auto both = std::as_bytes(std::span(text));
    return {both.begin(), both.end()};
  }

  /// To the parent, which learns it from nobody else.
  sys::transfer tell(std::initializer_list<std::span<const std::byte>> parts, std::span<const int> fds = {}) {
    return sys::send_surely(setup_.control.get(), setup_.parent.get(), parts, fds);
  }

  /// The parent's death ends the control socket, unless somebody it forked by itself still holds the other end: so its
  /// pidfd is watched too.
  void wait_for_event() {
    pollfd watched[] = {
        {setup_.control.get(), POLLIN, 0}, {setup_.parent.get(), POLLIN, 0}, {statuses_.get(), POLLIN, 0}};
    if (sys::poll(watched, statuses_ ? 3 : 2, -1) < 0) return;
    if (watched[1].revents != 0) end();
    if (statuses_ && watched[2].revents != 0) relay_statuses();
  }

  /// The control socket has ended: with the parent, or because the parent has given this server up.
  [[noreturn]] void end() {
    // A process's descriptors are closed a little before its pidfd tells, do_exit() in kernel/exit.c.
    constexpr int patience = 2000;  // ms, for a parent that takes long to die
    // Children die with their parent by themselves (PR_SET_PDEATHSIG); what they started does not.
    if (sys::await_end(setup_.parent.get(), patience)) {
      table_.kill_groups();
      if (!family::get().is_child) {
        unlink_names_of_family();
        take_care_of_family();
      }
    }
    _exit(0);
  }

  [[gnu::hot]] void handle_request() {
    std::memcpy(&request_, buffer_.data(), sizeof request_);
    if (request_.kind == launch_kind::farewell) _exit(0);
    if (request_.kind == launch_kind::heir) return make_heir();
    launch_reply reply;
    reply.siblings = siblings_;
    reply.id = request_.id;
    unique_fd child;
    if (message_.fds_lost) {
      reply.failed = stage::receive_descriptors;
      reply.error = EMFILE;
    } else {
      child = try_to_make_child(reply);
    }
    message_.fds.clear();
    reply.has_pidfd = static_cast<bool>(child);
    replies_.push_back(reply);
    if (child) pidfds_.push_back(std::move(child));
    // A program takes the server as long as ten functions: its parent should not wait for many more of them.
    const std::size_t most = request_.kind == launch_kind::function ? most_replies : most_replies / 4;
    if (replies_.size() >= most) send_replies();
  }

  /// Clones this server. The clone returns from here like the original, but listens to a control socket of its own,
  /// on which nothing comes until the original is dead.
  void make_heir() {
    int ends[2];
    if (sys::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;  // as below
    const unique_fd control(ends[0]);
    unique_fd control_of_heir(ends[1]);
    int pidfd = -1;
    sys::clone_request how;
    how.identity = &identity_;
    how.sibling = true;
    how.pidfd = &pidfd;
    how.pid_slot = &table_.heir(request_.id);
    launch_reply reply;
    reply.kind = launch_reply::what::heir;
    reply.pid = sys::clone_process(how);
    if (reply.pid == 0) {
      identity_.renew();
      setup_.control = std::move(control_of_heir);
      replies_.clear();
      pidfds_.clear();
      return;
    }
    const unique_fd heir(pidfd);
    if (reply.pid < 0)
      return;  // no process to be had: the server will be started over again if it comes to that
    send_replies();
    const int fds[] = {heir.get(), control.get()};
    const auto passed = heir ? std::span<const int>(fds) : std::span<const int>();
    if (tell({sys::bytes_of(reply)}, passed) == sys::transfer::too_many_in_flight)
      tell({sys::bytes_of(reply)});  // the parent buries it
  }

  /// Called before each wait, so no reply waits longer than the requests that are there already take.
  void send_replies() {
    if (replies_.empty()) return;
    std::array<int, most_replies> fds;
    std::transform(pidfds_.begin(), pidfds_.end(), fds.begin(), [](const auto& each) { return each.get(); });
    if (tell({std::as_bytes(std::span(replies_))}, std::span(fds).first(pidfds_.size())) ==
        sys::transfer::too_many_in_flight) {
      // The parent opens them itself, by the numbers of children that it has not reaped.
      for (launch_reply& reply : replies_) reply.has_pidfd = false;
      tell({std::as_bytes(std::span(replies_))});
    }
    replies_.clear();
    pidfds_.clear();
  }

  [[gnu::hot]] unique_fd try_to_make_child(launch_reply& reply) {
    try {
      return make_child(reply);
    } catch (const std::system_error& e) {
      reply.error = e.code().value();
    } catch (const std::bad_alloc&) {
      reply.error = ENOMEM;
    }
    reply.failed = stage::receive_request;
    reply.pid = 0;
    return {};
  }

  [[gnu::hot]] unique_fd make_child(launch_reply& reply) {
    spawn_slot& slot = table_[request_.slot];
    sys::mapped_file large;
    const child_setup setup = describe_child(slot, large);
    int pidfd = -1;
    sys::clone_request how;
    how.identity = siblings_ ? &identity_ : nullptr;
    how.sibling = siblings_;
    how.exit_signal = siblings_ ? 0 : SIGCHLD;
    how.wait_for_exec = request_.kind == launch_kind::exec_function;
    how.pidfd = &pidfd;
    how.pid_slot = &slot.pid;
    // One that outlives its parent has to be known to the family, also if its parent dies before it hears of it.
    const bool announced = request_.detached && request_.in_memory;
    if (announced && !family_memory::note_pid(request_.in_memory, getpid())) {
      sys::throw_errno("the parent is dead", ESRCH);
    }
    if (request_.kind == launch_kind::program) {
      reply.pid = start_program(setup, how);
    } else {
      reply.pid = siblings_ ? sys::clone_process(how) : fork_child(how);
      if (reply.pid == 0) {
        close_what_is_others();
        begin_child(setup);
      }
    }
    unique_fd child(pidfd);
    if (reply.pid > 0 && !siblings_ && !remember(reply.pid, child.get())) {
      const int error = errno;
      sys::kill(reply.pid, SIGKILL);  // ours and not reaped, so the number is its own
      sys::await_and_reap(reply.pid, -1);
      child.reset();
      reply.pid = -1;
      errno = error;
    }
    if (announced) family_memory::note_pid(request_.in_memory, std::max(reply.pid, 0));
    if (reply.pid < 0) {
      reply.failed = errno == EBADMSG ? stage::decode : stage::clone;
      reply.error = errno;
      return {};
    }
    if (request_.kind != launch_kind::function) {
      reply.failed = std::atomic_ref(slot.failed).load(std::memory_order_acquire);
      reply.error = slot.error;
    }
    return child;
  }

  /// In a child: the descriptors that the server keeps of its siblings, and of a request that is mapped by now.
  [[gnu::hot]] void close_what_is_others() const noexcept {
    for (const unique_fd& pidfd : pidfds_) sys::close(pidfd.get());
    for (const auto& [pidfd, sibling] : relayed_) sys::close(pidfd);
    if (statuses_) sys::close(statuses_.get());
    if (request_.body_in_file) sys::close(message_.fds.front().get());
  }

  child_setup describe_child(spawn_slot& slot, sys::mapped_file& large) {
    std::span<const std::byte> body(buffer_.data() + sizeof request_, message_.size - sizeof request_);
    std::size_t first_stream = 0;
    if (request_.body_in_file) {
      large = sys::map_whole(message_.fds.front().get());
      body = large.contents();
      first_stream = 1;
    }
    passed_.clear();
    for (const unique_fd& fd : std::span(message_.fds).subspan(first_stream)) passed_.push_back(fd.get());
    return {request_,
            body,
            passed_,
            setup_.control.get(),
            setup_.results.get(),
            setup_.parent.get(),
            setup_.table_file.get(),
            slot,
            table_.crash_target_of(slot),
            siblings_ ? &identity_ : nullptr,
            setup_.child_mask};
  }

  pid_t start_program(const child_setup& setup, sys::clone_request& how) {
    try {
      program_start program(setup);
      if (siblings_) return program.run(how);
      how.wait_for_exec = true;
      const pid_t pid = fork_child(how);
      if (pid == 0) program.begin();
      return pid;
    } catch (const decode_error&) {
      errno = EBADMSG;
      return -1;
    }
  }

  /// With the C library's own fork, where raw clones are not sound.
  pid_t fork_child(const sys::clone_request& how) const {
    int exec_pipe[2] = {-1, -1};
    if (how.wait_for_exec && sys::pipe2(exec_pipe, O_CLOEXEC) != 0) return -1;
    const unique_fd read_end(exec_pipe[0]);
    unique_fd write_end(exec_pipe[1]);
    const pid_t server = getpid();
    const pid_t child = sys::fork();
    if (child == 0) {
      // The server's death is this child's, as nobody could tell its end; a server that is dead already sends no signal.
      if (table_[request_.slot].detached == 0) sys::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != server) _exit(cannot_start);
      static_cast<void>(write_end.release());  // closed by execve, or with the child
      // The server may be killed before it can write this: the child would be asked for a second time.
      std::atomic_ref(*how.pid_slot).store(getpid(), std::memory_order_release);
    }
    if (child <= 0) return child;
    std::atomic_ref(*how.pid_slot).store(child, std::memory_order_release);
    *how.pidfd = sys::open_process(child).release();
    if (how.wait_for_exec) {
      write_end.reset();
      char nothing;
      while (sys::read(read_end.get(), &nothing, 1) < 0 && errno == EINTR) {
      }
    }
    return child;
  }

  // --- relaying: the children are the server's own ---

  /// It keeps a descriptor of each. Programs get the original limit back.
  static void raise_descriptor_limit() noexcept {
    rlimit limit{};
    if (sys::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    sys::setrlimit(RLIMIT_NOFILE, &limit);
  }

  /// False, with errno, if there is no descriptor or no memory for it: nobody would hear of its end.
  bool remember(pid_t pid, int pidfd) noexcept {
    if (pidfd < 0) errno = EMFILE;  // it could not be opened
    if (pidfd < 0) return false;
    unique_fd copy(sys::fcntl(pidfd, F_DUPFD_CLOEXEC, 3));
    if (!copy) return false;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = copy.get();
    try {
      relayed_[copy.get()] = {request_.id, pid};
    } catch (const std::bad_alloc&) {
      errno = ENOMEM;
      return false;
    }
    if (sys::epoll_ctl(statuses_.get(), EPOLL_CTL_ADD, copy.get(), &event) != 0) {
      relayed_.erase(copy.get());
      return false;
    }
    static_cast<void>(copy.release());
    return true;
  }

  void relay_statuses() {
    epoll_event ended[64];
    const int count = sys::epoll_wait(statuses_.get(), ended, 64, 0);
    for (int i = 0; i < count; ++i) {
      unique_fd pidfd(ended[i].data.fd);
      const auto status = sys::reap(pidfd.get());
      if (!status) {
        static_cast<void>(pidfd.release());
        continue;
      }
      const relayed_child ended_child = relayed_.extract(pidfd.get()).mapped();
      launch_reply message;
      message.kind = launch_reply::what::ended;
      message.id = ended_child.id;
      message.pid = ended_child.pid;
      message.ending = *status;
      sys::epoll_ctl(statuses_.get(), EPOLL_CTL_DEL, pidfd.get(), nullptr);
      tell({sys::bytes_of(message)});
    }
  }

  struct relayed_child {
    std::uint64_t id;
    pid_t pid;
  };

  server_setup setup_;
  spawn_table table_;
  sys::thread_identity identity_;
  bool siblings_ = false;
  launch_request request_;
  sys::received message_;
  std::vector<int> passed_;            // the descriptors of the request's streams
  std::vector<launch_reply> replies_;  // not sent yet
  std::vector<unique_fd> pidfds_;      // of those that have one
  unique_fd statuses_;                 // relaying: an epoll set of the children's pidfds
  std::unordered_map<int, relayed_child> relayed_;
  // Last: the rest shares a page with the frames below, which every child writes to.
  std::array<std::byte, largest_message> buffer_;
};

void close_all_but(std::array<int, 5> kept) noexcept {
  std::sort(kept.begin(), kept.end());
  unsigned from = 3;
  for (const int fd : kept) {
    if (static_cast<unsigned>(fd) > from) sys::close_range(from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  sys::close_range(from, ~0u, 0);
}

}  // namespace

void serve(server_setup setup) noexcept {
  // Blocked, not ignored: what is ignored stays ignored in children and programs.
  sys::block_all_signals();
  sys::reset_signal_handlers();
  runtime::abandon_after_fork();
  supervisor::abandon_after_fork();
  trace_file::abandon();
  family_memory::disown();
  close_all_but({setup.control.get(), setup.results.get(), setup.parent.get(), setup.table_file.get(),
                 family_memory::fd()});
  // Standard input is nobody's to share: children read /dev/null unless told otherwise.
  sys::fill_standard_streams();
  const unique_fd nothing(sys::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (nothing) sys::dup2(nothing.get(), 0);
  sys::prctl(PR_SET_NAME, "brood-server");
  try {
    fork_server server(std::move(setup));
    server.run();
  } catch (const std::exception& e) {
    log_error("a fork server ends: {}", e.what());
  }
  _exit(cannot_start);
}

}  // namespace brood::detail
