// Command go-peer does with the Go library what the bench does with the stores that it is compiled with: one kind of work,
// once, in a process of its own. It prints how many records that were and how many nanoseconds they took.
//
//	go-peer version
//	go-peer append DIR background|oscache|always THREADS PAYLOAD BATCH MOST SECONDS
//	go-peer read DIR RECORDS PAYLOAD SECONDS
package main

import (
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/hungpdn/wal"
)

const library = "github.com/hungpdn/wal"

// How many appends are made between two looks at the clock where none of them waits for a disk.
const stride = 64

var strategies = map[string]wal.SyncStrategy{
	"background": wal.SyncStrategyBackground,
	"oscache":    wal.SyncStrategyOSCache,
	"always":     wal.SyncStrategyAlways,
}

func main() {
	// The library tells standard error what it opens.
	log.SetOutput(io.Discard)
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "go-peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "version":
		fmt.Println(version())
		return nil
	case len(args) == 8 && args[0] == "append":
		return appendAll(args[1], args[2], args[3:])
	case len(args) == 5 && args[0] == "read":
		return readAll(args[1], args[2:])
	}
	return fmt.Errorf("not understood: %q", args)
}

// The library's version as the build knows it, and the compiler's.
func version() string {
	found := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == library {
				found = module.Version
			}
		}
	}
	return found + ", " + runtime.Version()
}

// Whole numbers, and seconds as the last.
func numbers(args []string) ([]int, time.Duration, error) {
	last := len(args) - 1
	whole := make([]int, last)
	for i, text := range args[:last] {
		number, err := strconv.Atoi(text)
		if err != nil || number < 0 {
			return nil, 0, fmt.Errorf("not a number: %q", text)
		}
		whole[i] = number
	}
	seconds, err := strconv.ParseFloat(args[last], 64)
	return whole, time.Duration(seconds * float64(time.Second)), err
}

func open(dir string, strategy wal.SyncStrategy) (*wal.WAL, error) {
	// Segments as large as Walden's are here, which is to the library's good: it syncs at each rotation.
	return wal.Open(dir, &wal.Config{SegmentSize: 64 << 20, SyncStrategy: strategy})
}

func noise(length int) []byte {
	payload := make([]byte, length)
	rand.New(rand.NewSource(1)).Read(payload)
	return payload
}

func appendAll(dir, name string, args []string) error {
	strategy, known := strategies[name]
	n, limit, err := numbers(args)
	if err != nil || !known {
		return fmt.Errorf("not understood: %q %q", name, args)
	}
	threads, payload, batch, most := n[0], noise(n[1]), n[2], n[3]
	if threads == 0 || batch == 0 || (most > 0 && most < threads) {
		return fmt.Errorf("nothing to do for each of %d threads, %d at a time, %d in all", threads, batch, most)
	}
	log, err := open(dir, strategy)
	if err != nil {
		return err
	}
	payloads := make([][]byte, batch)
	for i := range payloads {
		payloads[i] = payload
	}
	between := stride
	if strategy == wal.SyncStrategyAlways {
		between = 1
	}
	counts, errs := make([]int, threads), make([]error, threads)
	var wait sync.WaitGroup
	begun := time.Now()
	for thread := 0; thread < threads; thread++ {
		wait.Add(1)
		go func(thread int) {
			defer wait.Done()
			// Its own while it appends: neighbours in one line of a cache would slow each other.
			var count, share = 0, most / threads
			var err error
			for err == nil && time.Since(begun) < limit && (most == 0 || count < share) {
				for i := 0; i < between && err == nil && (most == 0 || count < share); i++ {
					if batch == 1 {
						err = log.Write(payload)
					} else {
						err = log.WriteBatch(payloads)
					}
					count += batch
				}
			}
			counts[thread], errs[thread] = count, err
		}(thread)
	}
	wait.Wait()
	spent := time.Since(begun)
	total := 0
	for thread, count := range counts {
		if errs[thread] != nil {
			return errs[thread]
		}
		total += count
	}
	fmt.Println(total, spent.Nanoseconds())
	return log.Close()
}

func readAll(dir string, args []string) error {
	n, limit, err := numbers(args)
	if err != nil {
		return err
	}
	records, payload := n[0], noise(n[1])
	log, err := open(dir, wal.SyncStrategyOSCache)
	if err != nil {
		return err
	}
	for i := 0; i < records; i++ {
		if err := log.Write(payload); err != nil {
			return err
		}
	}
	if err := log.Sync(); err != nil {
		return err
	}
	total, spent := 0, time.Duration(0)
	for total == 0 || spent < limit {
		begun := time.Now()
		count, err := once(log)
		spent += time.Since(begun)
		if err != nil || count != records {
			return fmt.Errorf("%d of %d records read: %v", count, records, err)
		}
		total += count
	}
	fmt.Println(total, spent.Nanoseconds())
	return log.Close()
}

func once(log *wal.WAL) (int, error) {
	reader, err := log.NewReader()
	if err != nil {
		return 0, err
	}
	defer reader.Close()
	count := 0
	for reader.Next() {
		// What the reader holds is reached by copying it.
		if len(reader.Value()) == 0 {
			return count, fmt.Errorf("record %d is empty", reader.Index())
		}
		count++
	}
	return count, reader.Err()
}
