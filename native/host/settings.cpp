#include "settings.h"

#include <cctype>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>

#include "rhumb_host.h"

namespace rhumb_host {
namespace {

struct Named {
  const char *name;
  long standard;
  std::atomic<long> value;
};

// In the order of enum Setting.
Named named[] = {
    {"order", 0, {}},
    {"seed", 1, {}},
    {"mma", 0, {}},
    {"devices", 1, {}},
    {"driver_version", 13000, {}},
    {"memory_bytes", 4L << 30, {}},
    {"multiprocessors", 4, {}},
    {"shared_bytes", 227 * 1024, {}},
    {"compute_capability", 90, {}},
    {"deferred", 0, {}},
    {"fail_launch", 0, {}},
    {"allocations", 0, {}},
    {"allocated_bytes", 0, {}},
    {"host_allocations", 0, {}},
    {"streams", 0, {}},
    {"events", 0, {}},
    {"graphs", 0, {}},
    {"executables", 0, {}},
    {"cublas_handles", 0, {}},
    {"contexts", 0, {}},
    {"launches", 0, {}},
    {"graph_launches", 0, {}},
    {"graph_nodes", 0, {}},
    {"waits", 0, {}},
    {"most_bytes", 0, {}},
};
static_assert(std::size(named) == static_cast<size_t>(Setting::MOST_BYTES) + 1);

bool is_counter(size_t i) { return i >= static_cast<size_t>(Setting::ALLOCATIONS); }

// Into the values, from the environment.
bool read_environment() {
  for (size_t i = 0; i < std::size(named); i++) {
    std::string variable = "RHUMB_HOST_";
    for (const char *c = named[i].name; *c != 0; c++) {
      variable += static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
    }
    const char *text = is_counter(i) ? nullptr : std::getenv(variable.c_str());
    named[i].value = text == nullptr                        ? named[i].standard
                     : std::strcmp(text, "nearest") == 0  ? 0
                     : std::strcmp(text, "truncate") == 0 ? 1
                                                          : std::atol(text);
  }
  return true;
}

Named *find(const char *name) {
  for (Named &candidate : named) {
    if (name != nullptr && std::strcmp(name, candidate.name) == 0) {
      return &candidate;
    }
  }
  return nullptr;
}

}  // namespace

std::atomic<long> &setting(Setting which) {
  [[maybe_unused]] static const bool read = read_environment();
  return named[static_cast<size_t>(which)].value;
}

}  // namespace rhumb_host

int rhumb_host_set(const char *name, long value) {
  using rhumb_host::Setting;
  using rhumb_host::setting;
  setting(Setting::ORDER);  // the environment comes first
  if (name != nullptr && std::strcmp(name, "most_bytes") == 0) {
    setting(Setting::MOST_BYTES) = setting(Setting::ALLOCATED_BYTES).load();
    return 0;
  }
  rhumb_host::Named *found = rhumb_host::find(name);
  if (found == nullptr || rhumb_host::is_counter(static_cast<size_t>(found - rhumb_host::named))) {
    return 1;
  }
  found->value = value;
  return 0;
}

long rhumb_host_get(const char *name) {
  rhumb_host::setting(rhumb_host::Setting::ORDER);
  const rhumb_host::Named *found = rhumb_host::find(name);
  return found == nullptr ? -1 : found->value.load();
}
