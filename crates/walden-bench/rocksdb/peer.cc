// rocksdb-peer does with RocksDB's write-ahead log what the bench does with the stores that it is compiled with: one kind of
// work, once, in a process of its own. It prints how many records that were and how many nanoseconds they took.
//
//     rocksdb-peer version
//     rocksdb-peer append DIR oscache|always THREADS PAYLOAD BATCH MOST SECONDS
//
// A record goes into the log as log data of a batch, which RocksDB writes there and nowhere else: no key, no memtable, so
// that it is the log that is measured.
//
//     c++ -O2 -o rocksdb-peer peer.cc -lrocksdb -lpthread
#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <rocksdb/db.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

using Clock = std::chrono::steady_clock;

// How many appends are made between two looks at the clock where none of them waits for a disk.
constexpr long kStride = 64;

struct Load {
  rocksdb::DB* db;
  bool always;
  std::string payload;
  long batch, share;
  Clock::time_point begun;
  std::chrono::duration<double> limit;
};

struct Done {
  long count = 0;
  rocksdb::Status status;
};

// Its result is its own until it is done: neighbours in one line of a cache would slow each other.
static Done AppendUntil(const Load& load) {
  rocksdb::WriteOptions how;
  how.sync = load.always;
  rocksdb::WriteBatch batch;
  Done done;
  const auto more = [&] { return done.status.ok() && (load.share == 0 || done.count < load.share); };
  while (more() && Clock::now() - load.begun < load.limit) {
    for (long i = 0; i < (load.always ? 1 : kStride) && more(); i++) {
      batch.Clear();
      for (long n = 0; n < load.batch; n++) batch.PutLogData(load.payload);
      done.status = load.db->Write(how, &batch);
      done.count += load.batch;
    }
  }
  return done;
}

static void Append(const std::vector<std::string>& args) {
  const bool always = args[1] == "always";
  if (!always && args[1] != "oscache") throw std::invalid_argument("no such strategy: " + args[1]);
  const long threads = std::stol(args[2]), length = std::stol(args[3]), batch = std::stol(args[4]), most = std::stol(args[5]);
  if (threads < 1 || length < 1 || batch < 1 || most < 0 || (most > 0 && most < threads)) {
    throw std::invalid_argument("nothing to do for each thread");
  }

  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, args[0], &opened);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  const std::unique_ptr<rocksdb::DB> db(opened);

  std::string payload;
  for (unsigned long i = 0, state = 1; i < static_cast<unsigned long>(length); i++) {
    state = state * 6364136223846793005ul + 1442695040888963407ul;
    payload.push_back(static_cast<char>(state >> 56));
  }
  const std::chrono::duration<double> limit(std::stod(args[6]));
  const Load load{db.get(), always, payload, batch, most / threads, Clock::now(), limit};
  std::vector<Done> done(static_cast<size_t>(threads));
  std::vector<std::thread> workers;
  for (Done& one : done) workers.emplace_back([&load, &one] { one = AppendUntil(load); });
  for (std::thread& worker : workers) worker.join();
  const auto spent = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - load.begun);

  long count = 0;
  for (const Done& one : done) {
    if (!one.status.ok()) throw std::runtime_error(one.status.ToString());
    count += one.count;
  }
  std::printf("%ld %lld\n", count, static_cast<long long>(spent.count()));
}

int main(int count, char** given) {
  const std::vector<std::string> args(given + 1, given + count);
  try {
    if (args.size() == 1 && args[0] == "version") {
      std::printf("%s\n", rocksdb::GetRocksVersionAsString(true).c_str());
    } else if (args.size() == 8 && args[0] == "append") {
      Append({args.begin() + 1, args.end()});
    } else {
      throw std::invalid_argument("arguments not understood");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rocksdb-peer: %s\n", error.what());
    return 1;
  }
  return 0;
}
