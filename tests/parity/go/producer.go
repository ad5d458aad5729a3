package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/kalbhor/tasqueue/v2"
)

// jobSpec is a job as a test describes it; payload is base64, times are nanoseconds.
type jobSpec struct {
	Task       string    `json:"task"`
	Payload    []byte    `json:"payload"`
	ID         string    `json:"id"`
	Queue      string    `json:"queue"`
	MaxRetries uint32    `json:"max_retries"`
	ETA        int64     `json:"eta_ns"`
	Schedule   string    `json:"schedule"`
	Timeout    int64     `json:"timeout_ns"`
	OnSuccess  []jobSpec `json:"on_success"`
	OnError    []jobSpec `json:"on_error"`
}

func (s jobSpec) job() (tasqueue.Job, error) {
	opts := tasqueue.JobOpts{
		ID:         s.ID,
		Queue:      s.Queue,
		MaxRetries: s.MaxRetries,
		Schedule:   s.Schedule,
		Timeout:    time.Duration(s.Timeout),
	}
	if s.ETA != 0 {
		opts.ETA = time.Unix(0, s.ETA)
	}
	job, err := tasqueue.NewJob(s.Task, s.Payload, opts)
	if err != nil {
		return job, err
	}
	if job.OnSuccess, err = children(s.OnSuccess); err != nil {
		return job, err
	}
	job.OnError, err = children(s.OnError)
	return job, err
}

func jobs(specs []jobSpec) ([]tasqueue.Job, error) {
	made := make([]tasqueue.Job, 0, len(specs))
	for _, spec := range specs {
		job, err := spec.job()
		if err != nil {
			return nil, err
		}
		made = append(made, job)
	}
	return made, nil
}

func children(specs []jobSpec) ([]*tasqueue.Job, error) {
	made, err := jobs(specs)
	if err != nil {
		return nil, err
	}
	var pointers []*tasqueue.Job
	for i := range made {
		pointers = append(pointers, &made[i])
	}
	return pointers, nil
}

// request is one line; each operation reads the fields that it needs.
type request struct {
	Op     string    `json:"op"`
	ID     string    `json:"id"`
	Queue  string    `json:"queue"`
	Offset int       `json:"offset"`
	Limit  int       `json:"limit"`
	Job    jobSpec   `json:"job"`
	Jobs   []jobSpec `json:"jobs"`
}

type producer struct{ srv *tasqueue.Server }

type operation func(ctx context.Context, r request) (any, error)

func (p producer) operations() map[string]operation {
	return map[string]operation{
		"enqueue":     p.enqueue,
		"group":       p.group,
		"chain":       p.chain,
		"get_job":     func(ctx context.Context, r request) (any, error) { return p.srv.GetJob(ctx, r.ID) },
		"get_group":   func(ctx context.Context, r request) (any, error) { return p.srv.GetGroup(ctx, r.ID) },
		"get_chain":   func(ctx context.Context, r request) (any, error) { return p.srv.GetChain(ctx, r.ID) },
		"get_result":  func(ctx context.Context, r request) (any, error) { return p.srv.GetResult(ctx, r.ID) },
		"get_tasks":   func(context.Context, request) (any, error) { return p.srv.GetTasks() },
		"get_pending": func(ctx context.Context, r request) (any, error) { return p.srv.GetPending(ctx, r.Queue) },
		"get_pending_count": func(ctx context.Context, r request) (any, error) {
			return p.srv.GetPendingCount(ctx, r.Queue)
		},
		"get_pending_page": p.pendingPage,
		"get_success":      func(ctx context.Context, _ request) (any, error) { return p.srv.GetSuccess(ctx) },
		"get_failed":       func(ctx context.Context, _ request) (any, error) { return p.srv.GetFailed(ctx) },
		"delete_job":       func(ctx context.Context, r request) (any, error) { return nil, p.srv.DeleteJob(ctx, r.ID) },
	}
}

func (p producer) enqueue(ctx context.Context, r request) (any, error) {
	job, err := r.Job.job()
	if err != nil {
		return nil, err
	}
	return p.srv.Enqueue(ctx, job)
}

func (p producer) group(ctx context.Context, r request) (any, error) {
	members, err := jobs(r.Jobs)
	if err != nil {
		return nil, err
	}
	group, err := tasqueue.NewGroup(members, tasqueue.GroupOpts{ID: r.ID})
	if err != nil {
		return nil, err
	}
	return p.srv.EnqueueGroup(ctx, group)
}

func (p producer) chain(ctx context.Context, r request) (any, error) {
	links, err := jobs(r.Jobs)
	if err != nil {
		return nil, err
	}
	chain, err := tasqueue.NewChain(links, tasqueue.ChainOpts{ID: r.ID})
	if err != nil {
		return nil, err
	}
	return p.srv.EnqueueChain(ctx, chain)
}

func (p producer) pendingPage(ctx context.Context, r request) (any, error) {
	page, total, err := p.srv.GetPendingWithPagination(ctx, r.Queue, r.Offset, r.Limit)
	return map[string]any{"jobs": page, "total": total}, err
}

func runProducer(args []string) error {
	var where store
	flags := flag.NewFlagSet("producer", flag.ContinueOnError)
	where.bind(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	srv, err := where.server()
	if err != nil {
		return err
	}
	known := producer{srv}.operations()
	return serve(func(line []byte) answer {
		var r request
		if err := json.Unmarshal(line, &r); err != nil {
			return refused(err)
		}
		op, ok := known[r.Op]
		if !ok {
			return refused(fmt.Errorf("unknown operation %q", r.Op))
		}
		value, err := op(context.Background(), r)
		if err != nil {
			reply := refused(err)
			reply["not_found"] = errors.Is(err, tasqueue.ErrNotFound)
			return reply
		}
		return answer{"ok": true, "value": value}
	})
}
