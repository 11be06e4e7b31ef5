// Command bench compares portkey.Transport with other transports, side by side in
// one process, and prints tables in markdown.
//
//	go run .                  # everything, about three minutes
//	go run . -mode transport  # or http, or growth
//	go run . -quick           # shows that it works, and measures little
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 75, "how often everything is measured")
	mode := flag.String("mode", "all", "all, transport, http or growth")
	quick := flag.Bool("quick", false, "take seconds, and measure little")
	flag.Parse()
	block := 20 * time.Millisecond
	if *quick {
		*rounds, block = 4, time.Millisecond
	}
	if *rounds < 1 || !strings.Contains(" all transport http growth ", " "+*mode+" ") || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	for _, name := range []string{"PORTKEY_API_KEY", "PORTKEY_BASE_URL"} {
		if err := os.Unsetenv(name); err != nil {
			log.Fatal(err)
		}
	}

	fmt.Printf("%s, %s/%s, %d processors, %s, load average %s. Medians of paired rounds, with confidence intervals of 95 %%.\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), time.Now().Format(time.DateOnly), load())
	var goals []goal
	if *mode == "all" || *mode == "transport" {
		goals = append(goals, transports(*rounds, block)...)
	}
	if *mode == "all" || *mode == "http" {
		goals = append(goals, overHTTP(*rounds, 5*block)...)
	}
	if *mode == "all" || *mode == "growth" {
		growth((*rounds+1)/2, block)
	}
	if len(goals) > 0 {
		var rows []string
		for _, g := range goals {
			rows = append(rows, g.String())
		}
		printTable("Goals", []string{"", "goal", "measured", ""}, rows...)
	}
}

// load is the load average of the last minute, where there is one to read.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
