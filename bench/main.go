// Command bench compares portkey.Transport with other ways to send the same
// headers. It measures all of them in one process and prints Markdown tables.
//
//	go run .                # everything, about five minutes
//	go run . -mode clients  # one part: transport, contexts, clients, http, streams or growth
//	go run . -quick         # a few seconds: checks that the program works
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// modes are the parts of the program, in the order in which they run.
var modes = []struct {
	name string
	run  func(rounds int, block time.Duration) []goal
}{
	{"transport", measureTransports},
	{"contexts", measureContexts},
	{"clients", measureClients},
	{"http", measureHTTP},
	{"streams", measureStreams},
	{"growth", measureGrowth},
}

func main() {
	names := []string{"all"}
	for _, m := range modes {
		names = append(names, m.name)
	}
	rounds := flag.Int("rounds", 75, "number of rounds")
	mode := flag.String("mode", "all", "part to run: "+strings.Join(names, ", "))
	quick := flag.Bool("quick", false, "run for a few seconds only; the results mean little")
	flag.Parse()
	if *rounds < 1 || !slices.Contains(names, *mode) || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	block := 20 * time.Millisecond
	if *quick {
		*rounds, block = 4, time.Millisecond
	}
	for _, name := range []string{"PORTKEY_API_KEY", "PORTKEY_BASE_URL"} {
		if err := os.Unsetenv(name); err != nil {
			log.Fatal(err)
		}
	}

	fmt.Printf("%s, %s/%s, %d processors, %s, load average %s.\n", runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), time.Now().Format(time.DateOnly), loadAverage())
	fmt.Println("Medians of paired rounds, with 95 % confidence intervals.")
	fmt.Println("An A/A control measures the same code a second time: its difference is the error of the method.")
	var rows []string
	for _, m := range modes {
		if *mode != "all" && *mode != m.name {
			continue
		}
		for _, g := range m.run(*rounds, block) {
			rows = append(rows, g.String())
		}
	}
	if len(rows) > 0 {
		printTable("Goals", []string{"", "goal", "measured", ""}, rows...)
	}
}

// loadAverage returns the load average of the last minute, or "unknown".
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	lastMinute, _, _ := strings.Cut(string(text), " ")
	return lastMinute
}
