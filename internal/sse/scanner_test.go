package sse

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// newScanner returns the Scanner for an endpoint whose last event is known.
func newScanner(tb testing.TB, path string) *Scanner {
	tb.Helper()
	s, known := NewScanner(path)
	if !known {
		tb.Fatalf("NewScanner(%q): the last event is unknown", path)
	}
	return &s
}

// variants returns a stream with each kind of line end, and after a byte order mark.
func variants(stream string) map[string]string {
	return map[string]string{
		"LF":   stream,
		"CRLF": strings.ReplaceAll(stream, "\n", "\r\n"),
		"CR":   strings.ReplaceAll(stream, "\n", "\r"),
		"BOM":  "\ufeff" + stream,
	}
}

// forEachStream runs a test for each variant of each stream.
func forEachStream(t *testing.T, test func(t *testing.T, path string, complete bool, stream []byte)) {
	t.Parallel()
	for _, c := range streams {
		for variant, stream := range variants(c.stream) {
			t.Run(c.name+"/"+variant, func(t *testing.T) {
				t.Parallel()
				test(t, c.path, c.complete, []byte(stream))
			})
		}
	}
}

// scanPieces passes the stream to s in pieces of the sizes that size returns, and compares
// with the verdict of a plain parser.
func scanPieces(t *testing.T, s *Scanner, stream []byte, want verdict, size func() int) {
	t.Helper()
	for pos := 0; pos < len(stream); {
		end := min(pos+size(), len(stream))
		got := s.Scan(stream[pos:end])
		if want := slices.Contains(want.isData[pos:end], true); got != want {
			t.Fatalf("Scan(%q) at byte %d: got %v, want %v", stream[pos:end], pos, got, want)
		}
		pos = end
	}
	if s.Complete() != want.complete && (want.judged || want.complete) {
		t.Fatalf("Complete after %q: got %v, want %v", stream, s.Complete(), want.complete)
	}
}

func TestLastEventIsFound(t *testing.T) {
	forEachStream(t, func(t *testing.T, path string, complete bool, stream []byte) {
		s := newScanner(t, path)
		s.Scan(stream)
		if s.Complete() != complete {
			t.Errorf("Complete: got %v, want %v", s.Complete(), complete)
		}
	})
}

func TestVerdictIsThatOfAPlainParserInAnyPieces(t *testing.T) {
	forEachStream(t, func(t *testing.T, path string, _ bool, stream []byte) {
		want := parse(path, stream)
		if !want.judged {
			t.Error("the stream has invalid JSON")
		}
		scanPieces(t, newScanner(t, path), stream, want, func() int { return len(stream) })
		scanPieces(t, newScanner(t, path), stream, want, func() int { return 1 })
		for cut := 1; cut < len(stream); cut++ {
			size := cut
			scanPieces(t, newScanner(t, path), stream, want, func() (n int) {
				n, size = size, len(stream)
				return n
			})
		}
		random := rand.New(rand.NewPCG(1, uint64(len(stream))))
		for range 20 {
			scanPieces(t, newScanner(t, path), stream, want, func() int { return 1 + random.IntN(40) })
		}
	})
}

func TestVerdictOnACutStreamIsThatOfAPlainParser(t *testing.T) {
	forEachStream(t, func(t *testing.T, path string, _ bool, stream []byte) {
		s := newScanner(t, path)
		for i := range stream {
			s.Scan(stream[i : i+1])
			if want := parse(path, stream[:i+1]); s.Complete() != want.complete {
				t.Fatalf("Complete after %q: got %v, want %v", stream[:i+1], s.Complete(), want.complete)
			}
		}
	})
}

// A proxy that ends a broken stream may add the blank line.
func TestCutEventWithABlankLineIsNoLastEvent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, event string }{
		{chat, strings.TrimSpace(finished)},
		{messages, strings.TrimSpace(messageStop)},
		{responses, strings.TrimSpace(event("response.completed", `"response":{"output":[]}`))},
	} {
		for cut := range c.event {
			s := newScanner(t, c.path)
			s.Scan([]byte(c.event[:cut] + "\n\n"))
			if s.Complete() {
				t.Errorf("%s: complete after %q", c.path, c.event[:cut])
			}
		}
		s := newScanner(t, c.path)
		s.Scan([]byte(c.event + "\n\n"))
		if !s.Complete() {
			t.Errorf("%s: not complete after %q", c.path, c.event)
		}
	}
}

// go-openai reads each data line by itself, and so works with a provider that ends no
// event with a blank line.
func TestEventMayHaveSeveralObjects(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]bool{
		strings.TrimSpace(finished) + "\ndata: {\"usage\":{}}\n\n": true,
		strings.TrimSpace(finished) + "\ndata: {\"usa\n\n":         false,
	} {
		s := newScanner(t, chat)
		s.Scan([]byte(stream))
		if s.Complete() != want {
			t.Errorf("Complete after %q: got %v, want %v", stream, s.Complete(), want)
		}
	}
}

func TestStreamStaysComplete(t *testing.T) {
	t.Parallel()
	s := newScanner(t, chat)
	s.Scan([]byte(finished + "data: {\"usage\": nul"))
	if !s.Complete() {
		t.Error("a further event makes the stream incomplete")
	}
}

func TestLastEventIsKnownByPath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/chat/completions", "/v1/chat/completions", "/openai/deployments/gpt%2F4/chat/completions",
		"/completions", "/v1/prompts/p-1/completions", "/v1/messages", "/v1/responses",
	} {
		newScanner(t, path)
	}
	for _, path := range []string{
		"", "/", "/v1", "/v1/completions/", "/v1/xcompletions", "/v1/chat%2Fcompletions", "/v1/complete",
		"/v1/messages/batches", "/v1/messages/count_tokens", "/v1/responses/r-1", "/v1/images/generations",
		"/v1/audio/transcriptions", "/v1beta/models/gemini:streamGenerateContent", "/v1/threads/t-1/runs",
	} {
		s, known := NewScanner(path)
		if known {
			t.Errorf("NewScanner(%q): the last event is known", path)
		}
		s.Scan([]byte(finished + done + messageStop))
		if s.Complete() {
			t.Errorf("NewScanner(%q): the stream is complete", path)
		}
	}
}

func TestOnlyDataLinesAreReported(t *testing.T) {
	t.Parallel()
	type piece struct {
		text string
		want bool
	}
	for name, pieces := range map[string][]piece{
		"parts of a data line": {{"da", false}, {"ta", false}, {":", true}, {" {", true}, {"}", true}, {"\n", true}, {"\n", false}},
		"end of a data line":   {{"data: {", true}, {"}\n\n: c", true}, {"omment", false}},
		"comment":              {{":", false}, {" data: x\n", false}, {": data: x\n\n", false}},
		"other fields":         {{"id: data: x\nretry: 1\nevent: data: x\n\n", false}},
		"long field":           {{strings.Repeat("data", 1000), false}, {": x\n", false}},
		"ping":                 {{"event: pi", false}, {"ng\ndata: {\"type\":", false}, {"\"ping\"}\n\n", false}, {"data: {}\n\n", true}},
		"keepalive":            {{"event: keepalive\ndata: {\"type\":\"keepalive\"}\n\n", false}, {"event: message\ndata: {}\n\n", true}},
		"similar to ping":      {{"event: pings\ndata: {}\n\n", true}, {"event: Ping\ndata: {}\n\n", true}, {"event: pin\ndata: {}\n\n", true}},
		"ping among others":    {{"event: ping\ndata: {}\n\nevent: delta\ndata: {}\n\nevent: ping\ndata: {}\n\n", true}},
		"after the last event": {{done, true}, {": comment\n\n", false}, {hooks, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := newScanner(t, chat)
			var unknown Scanner
			for _, p := range pieces {
				if got := known.Scan([]byte(p.text)); got != p.want {
					t.Errorf("Scan(%.60q): got %v, want %v", p.text, got, p.want)
				}
				if got := unknown.Scan([]byte(p.text)); got != p.want {
					t.Errorf("Scan(%.60q), last event unknown: got %v, want %v", p.text, got, p.want)
				}
			}
		})
	}
}

// Images in base64 make lines of many MB, and a provider could send any nesting.
func TestLongLines(t *testing.T) {
	t.Parallel()
	const n = 2 << 20
	escapes := strings.Repeat(`\\\"`, n/4)
	for name, c := range map[string]struct {
		path     string
		complete bool
		stream   string
	}{
		"image":          {responses, true, event("response.completed", `"image":"`+strings.Repeat("iVBORw0K", n/8)+`"`)},
		"image, cut off": {responses, false, strings.TrimSpace(event("response.completed", `"image":"`+strings.Repeat("iVBORw0K", n/8)+`"`))},
		"escapes":        {chat, true, chunk(`"x":"` + escapes + `","choices":[{"finish_reason":"` + escapes + `"}]`)},
		"nesting":        {chat, true, chunk(`"x":` + nested(n/40) + `,"choices":[{"delta":` + nested(n/40) + `,"finish_reason":"stop"}]`)},
		"nesting alone":  {chat, false, chunk(`"x":` + nested(n/40) + `,"choices":[{"delta":` + nested(n/40) + `}]`)},
		"comment":        {chat, true, ":" + strings.Repeat("data: [DONE]", n/12) + "\n" + done},
		"field":          {chat, true, strings.Repeat("data: [DONE]", n/12) + "\n" + finished},
		"white space":    {chat, true, "data:" + strings.Repeat(" \t", n/2) + "[DONE]"},
		"blank lines":    {chat, true, strings.Repeat("\r", n) + done},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{1000, len(c.stream)} {
				s := newScanner(t, c.path)
				for piece := range slices.Chunk([]byte(c.stream), size) {
					s.Scan(piece)
				}
				if s.Complete() != c.complete {
					t.Errorf("Complete, pieces of %d bytes: got %v, want %v", size, s.Complete(), c.complete)
				}
			}
		})
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	for _, path := range []string{chat, messages, responses} {
		s := newScanner(t, path)
		for _, c := range streams {
			if c.path != path || strings.Contains(c.name, "escape") {
				continue // names that are escaped are the exception
			}
			stream := []byte(c.stream)
			if n := testing.AllocsPerRun(10, func() { s.Scan(stream) }); n != 0 {
				t.Errorf("%s: got %v allocations, want 0", c.name, n)
			}
			if n := testing.AllocsPerRun(10, func() {
				for i := range stream {
					s.Scan(stream[i : i+1])
				}
			}); n != 0 {
				t.Errorf("%s, byte by byte: got %v allocations, want 0", c.name, n)
			}
		}
	}
}

func FuzzScannerAgreesWithAPlainParser(f *testing.F) {
	paths := []string{chat, messages, responses}
	for _, c := range streams {
		for _, stream := range variants(c.stream) {
			f.Add([]byte(stream), []byte{1, 7, 30}, slices.Index(paths, c.path))
			f.Add([]byte(stream[:len(stream)*2/3]), []byte{2}, slices.Index(paths, c.path))
		}
	}
	f.Fuzz(func(t *testing.T, stream, sizes []byte, path int) {
		if path < 0 || path >= len(paths) {
			path = 0
		}
		want := parse(paths[path], stream)
		whole := newScanner(t, paths[path])
		scanPieces(t, whole, stream, want, func() int { return len(stream) })

		pieces, i := newScanner(t, paths[path]), 0
		scanPieces(t, pieces, stream, want, func() int {
			if len(sizes) == 0 {
				return 1
			}
			i++
			return max(int(sizes[i%len(sizes)]), 1)
		})
		if pieces.Complete() != whole.Complete() {
			t.Errorf("Complete: got %v in pieces, %v as a whole", pieces.Complete(), whole.Complete())
		}
	})
}

func BenchmarkScan(b *testing.B) {
	tokens := strings.Repeat(chunk(`"system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]`), 200)
	deltas := strings.Repeat(event("response.output_text.delta", `"sequence_number":7,"item_id":"msg_1","output_index":0,"content_index":0,"delta":" word","logprobs":[]`), 200)
	image := event("response.image_generation_call.partial_image", `"partial_image_b64":"`+strings.Repeat("iVBORw0K", 1<<17)+`"`)
	for _, c := range []struct{ name, path, stream string }{
		{"chat", chat, tokens},
		{"chat with CRLF", chat, strings.ReplaceAll(tokens, "\n", "\r\n")},
		{"responses", responses, deltas},
		{"unknown last event", "", tokens},
		{"image", responses, image},
		{"lines of one byte", chat, strings.Repeat("\r", 1<<16)},
		{"escapes", chat, chunk(`"x":"` + strings.Repeat(`\n`, 1<<15) + `"`)},
	} {
		for _, size := range []int{32, 256, 32 << 10} {
			b.Run(fmt.Sprintf("%s/pieces of %d", c.name, size), func(b *testing.B) {
				b.ReportAllocs()
				stream := []byte(c.stream)
				for b.Loop() {
					s, _ := NewScanner(c.path)
					for pos := 0; pos < len(stream); pos += size {
						s.Scan(stream[pos:min(pos+size, len(stream))])
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(stream)), "ns/byte")
			})
		}
	}
}
