// Command tasqueue-parity is the Go side of the parity tests: it runs the published Go library as
// worker and producer, and asks its decoder and its cron parser, as told by JSON lines on stdin.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // only used where the machine has no zone files of its own

	"github.com/go-redis/redis/v8"
	"github.com/kalbhor/tasqueue/v2"
	redisbroker "github.com/kalbhor/tasqueue/v2/brokers/redis"
	redisresults "github.com/kalbhor/tasqueue/v2/results/redis"
)

// maxLine bounds one request; messages of many MiB travel as hex.
const maxLine = 256 << 20

// quietRedis drops what go-redis prints at each BLPOP when the poll period is below a second; the
// library logs the errors that it meets itself.
type quietRedis struct{}

func (quietRedis) Printf(context.Context, string, ...any) {}

// store says where the worker and the producer find Redis.
type store struct {
	addr   string
	db     int
	pollMS int
}

func (s *store) bind(flags *flag.FlagSet) {
	flags.StringVar(&s.addr, "addr", "127.0.0.1:6379", "host:port of the Redis server")
	flags.IntVar(&s.db, "db", 0, "number of the Redis database")
	flags.IntVar(&s.pollMS, "poll-ms", 1000, "period of the poller of scheduled jobs")
}

// server makes a Tasqueue server whose log goes to stderr, one JSON object per line.
func (s *store) server() (*tasqueue.Server, error) {
	redis.SetLogger(quietRedis{})
	handler := slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})
	logger := slog.New(handler)
	broker := redisbroker.New(redisbroker.Options{
		Addrs:      []string{s.addr},
		DB:         s.db,
		PollPeriod: time.Duration(s.pollMS) * time.Millisecond,
	}, logger)
	results := redisresults.New(redisresults.Options{Addrs: []string{s.addr}, DB: s.db}, logger)
	return tasqueue.NewServer(tasqueue.ServerOpts{Broker: broker, Results: results, Logger: handler})
}

// answer is what goes back for one request line.
type answer map[string]any

func refused(err error) answer { return answer{"ok": false, "error": err.Error()} }

// guarded turns a panic of the library into an answer that says so.
func guarded(step func() answer) (reply answer) {
	defer func() {
		if cause := recover(); cause != nil {
			reply = answer{"ok": false, "panic": true, "error": fmt.Sprint(cause)}
		}
	}()
	return step()
}

// serve answers each line of stdin with one line on stdout until stdin ends.
func serve(handle func(line []byte) answer) error {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		line := lines.Bytes()
		if err := out.Encode(guarded(func() answer { return handle(line) })); err != nil {
			return err
		}
	}
	return lines.Err()
}

func split(list string) []string {
	var names []string
	for _, name := range strings.Split(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: tasqueue-parity worker|producer|decode|cron [flags]")
	}
	switch args[0] {
	case "worker":
		return runWorker(args[1:])
	case "producer":
		return runProducer(args[1:])
	case "decode":
		return serve(decode)
	case "cron":
		return serve(nextRuns)
	default:
		return fmt.Errorf("unknown subcommand %q", args[0])
	}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
