// Command tasqueue-bench is the Go contestant: the published library, doing what
// contestants/stage.py does for the others. One JSON line on stdout for the driver.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-redis/redis/v8"
	"github.com/kalbhor/tasqueue/v2"
	redisbroker "github.com/kalbhor/tasqueue/v2/brokers/redis"
	redisresults "github.com/kalbhor/tasqueue/v2/results/redis"
)

const (
	warm    = 10
	callers = 100
	pause   = 3 * time.Millisecond
)

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func main() {
	redis.SetLogger(quiet{})
	measure, count := os.Args[1], 0
	if len(os.Args) > 2 {
		count = number(os.Args[2])
	}
	slots := number(getenv("BENCH_SLOTS", "10"))
	srv := server()
	for name, handler := range map[string]func([]byte, tasqueue.JobCtx) error{"add": add, "now": now} {
		if err := srv.RegisterTask(name, handler, tasqueue.TaskOpts{Concurrency: uint32(slots)}); err != nil {
			log.Fatal(err)
		}
	}
	switch measure {
	case "work":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
		defer stop()
		srv.Start(ctx)
	case "ping":
		answer(ping(srv, count))
	case "one", "fill":
		for i := 0; measure == "one" && i < warm; i++ {
			enqueue(srv, i)
		}
		answer(timed(count, func() {
			for i := 0; i < count; i++ {
				enqueue(srv, i)
			}
		}))
	case "burst":
		answer(timed(count, func() { burst(srv, count) }))
	default:
		answer(map[string]any{}) // Go Tasqueue has no bulk call
	}
}

func server() *tasqueue.Server {
	addr := "127.0.0.1:" + getenv("BENCH_PORT", "6379")
	handler := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})
	logger := slog.New(handler)
	broker := redisbroker.New(redisbroker.Options{Addrs: []string{addr}}, logger)
	results := redisresults.New(redisresults.Options{Addrs: []string{addr}}, logger)
	srv, err := tasqueue.NewServer(tasqueue.ServerOpts{Broker: broker, Results: results, Logger: handler})
	if err != nil {
		log.Fatal(err)
	}
	return srv
}

type terms struct {
	A int `json:"a"`
	B int `json:"b"`
}

func add(payload []byte, ctx tasqueue.JobCtx) error {
	tick()
	var got terms
	if err := json.Unmarshal(payload, &got); err != nil {
		return err
	}
	sum, err := json.Marshal(got.A + got.B)
	if err != nil {
		return err
	}
	return ctx.Save(sum)
}

func now(_ []byte, ctx tasqueue.JobCtx) error {
	return ctx.Save([]byte(strconv.FormatInt(time.Now().UnixNano(), 10)))
}

func enqueue(srv *tasqueue.Server, n int) {
	payload, err := json.Marshal(terms{n, 1})
	if err != nil {
		log.Fatal(err)
	}
	send(srv, "add", payload)
}

func send(srv *tasqueue.Server, task string, payload []byte) string {
	job, err := tasqueue.NewJob(task, payload, tasqueue.JobOpts{})
	if err != nil {
		log.Fatal(err)
	}
	id, err := srv.Enqueue(context.Background(), job)
	if err != nil {
		log.Fatal(err)
	}
	return id
}

func burst(srv *tasqueue.Server, count int) {
	var next atomic.Int64
	var group sync.WaitGroup
	for i := 0; i < callers; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := next.Add(1); n <= int64(count); n = next.Add(1) {
				enqueue(srv, int(n))
			}
		}()
	}
	group.Wait()
}

// ping polls for the result, since Go Tasqueue cannot wait for one.
func ping(srv *tasqueue.Server, count int) map[string]any {
	var starts, results []float64
	for i := 0; i < count+warm; i++ {
		time.Sleep(pause)
		sent := time.Now().UnixNano()
		body := wait(srv, send(srv, "now", []byte("{}")))
		got := time.Now().UnixNano()
		if i >= warm {
			starts = append(starts, float64(body-sent)/1000)
			results = append(results, float64(got-body)/1000)
		}
	}
	return map[string]any{"start_us": starts, "result_us": results}
}

func wait(srv *tasqueue.Server, id string) int64 {
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Microsecond) {
		saved, err := srv.GetResult(context.Background(), id)
		if err == nil {
			return int64(number(string(saved)))
		}
		if !errors.Is(err, tasqueue.ErrNotFound) && !errors.Is(err, redis.Nil) {
			log.Fatal(err)
		}
	}
	log.Fatal("no result within 10 s")
	return 0
}

var (
	bodies atomic.Int64
	begun  time.Time
	spent  float64
	jobs   = int64(number(getenv("BENCH_JOBS", "0")))
)

// tick counts bodies; the first and the last one of a drain are noted.
func tick() {
	switch n := bodies.Add(1); {
	case n == 1:
		begun, spent = time.Now(), cpu()
	case n == jobs:
		report := map[string]any{"seconds": time.Since(begun).Seconds(), "cpu": cpu() - spent, "jobs": n - 1}
		target := os.Getenv("BENCH_REPORT")
		text, err := json.Marshal(report)
		if err == nil {
			err = os.WriteFile(target+".part", text, 0o600)
		}
		if err == nil {
			err = os.Rename(target+".part", target)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

func timed(count int, step func()) map[string]any {
	spent, begun := cpu(), time.Now()
	step()
	return map[string]any{"seconds": time.Since(begun).Seconds(), "cpu": cpu() - spent, "jobs": count}
}

func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func answer(report any) {
	text, err := json.Marshal(report)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return n
}

func getenv(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
