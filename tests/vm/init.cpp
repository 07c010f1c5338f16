// The first and only process of the guest: it runs each test of /tests.txt, says how it ended, and switches off. It is
// linked statically, so that there is nothing else in the guest but the tests.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr int seconds_of_a_test = 120;
constexpr int skip = 77;  // exit status of what cannot run elsewhere, as Meson has it: here all of it can
constexpr const char* output = "/tmp/output";

struct Ending {
  enum { passed, failed } how;
  std::string why = {};
};

std::string without_end(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// One write, so that a message of the kernel does not come between.
void say(const std::string& text) {
  std::fputs((text + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void mount_all() {
  umask(0);
  const auto at = [](const char* type, const char* where) {
    mkdir(where, 0755);
    if (mount(type, where, type, 0, nullptr) != 0) std::perror(where);
  };
  at("devtmpfs", "/dev");
  if (freopen("/dev/console", "w", stdout) == nullptr || dup2(STDOUT_FILENO, STDERR_FILENO) < 0) _exit(1);
  at("proc", "/proc");
  at("sysfs", "/sys");
  at("tmpfs", "/tmp");
  at("tmpfs", "/dev/shm");
  for (const char* everybodys : {"/tmp", "/dev/shm"}) chmod(everybodys, 01777);
  mkdir("/etc", 0755);
  std::ofstream("/etc/passwd") << "root:x:0:0::/:/init\nnobody:x:65534:65534::/:/init\n";
  std::ofstream("/etc/group") << "root:x:0:\nvideo:x:44:\nnogroup:x:65534:\n";
  umask(022);
}

std::string text_of(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

[[noreturn]] void become(const std::vector<std::string>& words) {
  setpgid(0, 0);
  const int file = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(file, STDOUT_FILENO);
  dup2(file, STDERR_FILENO);
  close(file);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  std::perror(arguments[0]);
  _exit(127);
}

// Its status as wait() has it, or -1 when it did not end in time. Whatever it started is gone afterwards: as the first
// process, this one may end all others, and they become its children.
int run(const std::vector<std::string>& words) {
  const pid_t child = fork();
  if (child == 0) become(words);
  int status = -1;
  for (int tick = 0; tick < seconds_of_a_test * 20; ++tick) {
    if (waitpid(child, &status, WNOHANG) == child) break;
    status = -1;
    usleep(50'000);
  }
  kill(-1, SIGKILL);
  while (waitpid(-1, nullptr, 0) > 0) {
  }
  return status;
}

std::string last_line(const std::string& text) {
  const std::string whole = without_end(text);
  return whole.substr(whole.rfind('\n') + 1);
}

// A test that has a file of what it prints must print just that.
Ending judge(const std::string& name, int status) {
  const std::string printed = text_of(output);
  if (!printed.empty()) say(without_end(printed));
  if (status == -1) return {Ending::failed, "not done after " + std::to_string(seconds_of_a_test) + " s"};
  if (WIFSIGNALED(status)) return {Ending::failed, "signal " + std::to_string(WTERMSIG(status))};
  if (WEXITSTATUS(status) == skip) return {Ending::failed, "skipped: " + last_line(printed)};
  if (WEXITSTATUS(status) != 0) return {Ending::failed, "status " + std::to_string(WEXITSTATUS(status))};
  const std::string expected = "/expected/" + name + ".txt";
  if (access(expected.c_str(), F_OK) != 0 || text_of(expected) == printed) return {Ending::passed};
  say("expected was:\n" + without_end(text_of(expected)));
  return {Ending::failed, "it prints something else"};
}

// What the kernel holds against itself: a warning, an oops.
Ending judge_kernel() {
  const std::string taint = last_line(text_of("/proc/sys/kernel/tainted"));
  return taint == "0" ? Ending{Ending::passed} : Ending{Ending::failed, "tainted: " + taint};
}

void report(const std::string& name, const Ending& ending) {
  constexpr const char* words[] = {"passed", "failed"};
  say(std::string("guest: ") + words[ending.how] + " " + name + (ending.why.empty() ? "" : ": " + ending.why));
}

}  // namespace

int main() {
  if (getpid() != 1) return 1;  // it ends all that runs
  mount_all();
  setenv("FREESTONE_VM", "1", 1);
  int tests = 1;
  std::ifstream list("/tests.txt");
  for (std::string line; std::getline(list, line); ++tests) {
    std::istringstream in(line);
    std::vector<std::string> words(std::istream_iterator<std::string>(in), {});
    const std::string name = words.front();
    words.erase(words.begin());
    report(name, judge(name, run(words)));
  }
  report("kernel", judge_kernel());
  say("guest: ended after " + std::to_string(tests) + " tests");
  reboot(RB_POWER_OFF);
}
