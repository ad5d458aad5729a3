package main

import (
	"encoding/json"
	"time"

	"github.com/robfig/cron/v3"
)

// nextRuns reads {"expr", "from" (Unix ns), "tz", "steps"} and answers the next runs in Unix
// seconds (they are whole, and may lie past what nanoseconds reach), null for never. The zone stands for the local one, which robfig takes from the time
// it is given when the expression names none.
func nextRuns(line []byte) answer {
	var asked struct {
		Expr, TZ string
		From     int64
		Steps    int
	}
	if err := json.Unmarshal(line, &asked); err != nil {
		return refused(err)
	}
	zone, err := time.LoadLocation(asked.TZ)
	if err != nil {
		return refused(err)
	}
	schedule, err := cron.ParseStandard(asked.Expr)
	if err != nil {
		return refused(err)
	}
	runs := []*int64{}
	at := time.Unix(0, asked.From).In(zone)
	for i := 0; i < asked.Steps; i++ {
		if at = schedule.Next(at); at.IsZero() {
			runs = append(runs, nil)
			break
		}
		seconds := at.Unix()
		runs = append(runs, &seconds)
	}
	return answer{"ok": true, "next": runs}
}
