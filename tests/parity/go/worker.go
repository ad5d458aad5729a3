package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-redis/redis/v8"
	"github.com/kalbhor/tasqueue/v2"
)

type taskFunc = func(payload []byte, ctx tasqueue.JobCtx) error

// kinds are the handlers that a worker can register, under their own or any other name.
var kinds = map[string]taskFunc{
	"add":    add,
	"echo":   func(payload []byte, ctx tasqueue.JobCtx) error { return ctx.Save(payload) },
	"fail":   func([]byte, tasqueue.JobCtx) error { return errors.New("boom: ünïcode") },
	"flaky":  flaky,
	"gosave": func(payload []byte, ctx tasqueue.JobCtx) error { return ctx.Save(append([]byte("go:"), payload...)) },
	"meta":   saveMeta,
	"nosave": func([]byte, tasqueue.JobCtx) error { return nil },
	"prev":   func(_ []byte, ctx tasqueue.JobCtx) error { return ctx.Save(ctx.Meta.PrevJobResult) },
	"slow":   slow,
	"total":  total,
}

// add saves {"result": n} for {"arg1", "arg2"}, the plain number for {"a", "b"}.
func add(payload []byte, ctx tasqueue.JobCtx) error {
	var terms struct{ A, B, Arg1, Arg2 *int64 }
	if err := json.Unmarshal(payload, &terms); err != nil {
		return err
	}
	switch {
	case terms.A != nil && terms.B != nil:
		return ctx.Save([]byte(fmt.Sprint(*terms.A + *terms.B)))
	case terms.Arg1 != nil && terms.Arg2 != nil:
		return ctx.Save([]byte(fmt.Sprintf(`{"result":%d}`, *terms.Arg1+*terms.Arg2)))
	default:
		return errors.New("add wants a and b, or arg1 and arg2")
	}
}

// total saves the previous job's JSON number plus its own {"n": …}.
func total(payload []byte, ctx tasqueue.JobCtx) error {
	var own struct{ N int64 }
	var before int64
	if err := json.Unmarshal(payload, &own); err != nil {
		return err
	}
	if ctx.Meta.PrevJobResult != nil {
		if err := json.Unmarshal(ctx.Meta.PrevJobResult, &before); err != nil {
			return err
		}
	}
	return ctx.Save([]byte(fmt.Sprint(before + own.N)))
}

// flaky fails the first {"n": …} attempts and then saves its payload.
func flaky(payload []byte, ctx tasqueue.JobCtx) error {
	var wanted struct{ N uint32 }
	if err := json.Unmarshal(payload, &wanted); err != nil {
		return err
	}
	if ctx.Meta.Retried < wanted.N {
		return fmt.Errorf("attempt %d of %d fails", ctx.Meta.Retried+1, wanted.N)
	}
	return ctx.Save(payload)
}

// slow sleeps {"ms": …} milliseconds, or until its context ends, and then saves its payload.
func slow(payload []byte, ctx tasqueue.JobCtx) error {
	var wanted struct{ Ms int64 }
	if err := json.Unmarshal(payload, &wanted); err != nil {
		return err
	}
	select {
	case <-time.After(time.Duration(wanted.Ms) * time.Millisecond):
		return ctx.Save(payload)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// saveMeta saves what the handler sees of its job, as JSON.
func saveMeta(_ []byte, ctx tasqueue.JobCtx) error {
	seen, err := json.Marshal(ctx.Meta)
	if err != nil {
		return err
	}
	return ctx.Save(seen)
}

// counted notes each run in the hash "runs:<queue>", so that a test sees what Go ran and how often.
func counted(conn *redis.Client, handler taskFunc) taskFunc {
	return func(payload []byte, ctx tasqueue.JobCtx) error {
		err := conn.HIncrBy(context.Background(), "runs:"+ctx.Meta.Queue, ctx.Meta.ID, 1).Err()
		if err != nil {
			slog.Error("could not count a run", "id", ctx.Meta.ID, "error", err)
		}
		return handler(payload, ctx)
	}
}

func runWorker(args []string) error {
	var where store
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	where.bind(flags)
	queues := flags.String("queues", tasqueue.DefaultQueue, "queues to consume, comma-separated")
	concurrency := flags.Uint("concurrency", 4, "processors per queue")
	tasks := flags.String("tasks", "", "tasks to register, comma-separated: kind or name=kind")
	if err := flags.Parse(args); err != nil {
		return err
	}
	srv, err := where.server()
	if err != nil {
		return err
	}
	conn := redis.NewClient(&redis.Options{Addr: where.addr, DB: where.db})
	defer conn.Close()
	if err := register(srv, conn, split(*queues), split(*tasks), uint32(*concurrency)); err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	fmt.Println(`{"ready":true}`)
	srv.Start(ctx)
	fmt.Println(`{"stopped":true}`)
	return nil
}

// register gives every queue its consumer; the stored task records name the first queue, since a
// later registration of a name replaces the earlier one and the first queue is done last.
func register(srv *tasqueue.Server, conn *redis.Client, queues, tasks []string, concurrency uint32) error {
	for i := len(queues) - 1; i >= 0; i-- {
		opts := tasqueue.TaskOpts{Queue: queues[i], Concurrency: concurrency}
		for _, task := range tasks {
			name, kind, named := strings.Cut(task, "=")
			if !named {
				kind = name
			}
			handler, known := kinds[kind]
			if !known {
				return fmt.Errorf("unknown kind of task %q", kind)
			}
			if err := srv.RegisterTask(name, counted(conn, handler), opts); err != nil {
				return err
			}
		}
	}
	return nil
}
