package portkey

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// WithTrace returns a context whose calls have the trace ID id. The retries of a
// client then have the same trace ID as its first attempt. If id is "", WithTrace
// returns ctx. The header is x-portkey-trace-id.
func WithTrace(ctx context.Context, id string) context.Context {
	if id == "" {
		return ctx
	}
	ctx, c := derive(ctx)
	c.traceID = id
	if err := checkValue(id); err != nil {
		c.fail(&HeaderError{Name: strings.ToLower(keyTraceID), Reason: err.Error()})
	}
	return ctx
}

// WithNewTrace calls [WithTrace] with a random UUID, which it returns as well.
func WithNewTrace(ctx context.Context) (context.Context, string) {
	id := newTraceID(ctx)
	return WithTrace(ctx, id), id
}

// WithMetadata returns a context whose calls have the metadata m, merged key by key
// with the metadata of ctx and of [Options]; m takes precedence. m is copied. If m is
// empty, WithMetadata returns ctx. The header is x-portkey-metadata.
func WithMetadata(ctx context.Context, m Metadata) context.Context {
	if len(m) == 0 {
		return ctx
	}
	ctx, c := derive(ctx)
	pairs, err := newMetadata(m)
	if err != nil {
		c.fail(err)
	}
	c.metadata = mergeMetadata(c.metadata, pairs)
	return ctx
}

// WithHeaders returns a context whose calls have the headers h, merged field by field
// with the headers of ctx and of [Options]; h takes precedence. Metadata and Extra are
// merged key by key. Headers of the request itself take precedence over h. h is copied.
//
// If a value cannot be sent, the calls with this context fail with a [*HeaderError]
// before anything is sent.
func WithHeaders(ctx context.Context, h Headers) context.Context {
	ctx, c := derive(ctx)
	a := &arguments{h, c.arguments}
	inner, err := newHeaderSet(&a.headers)
	if err != nil {
		c.fail(err)
		return ctx
	}
	config, _ := inner.get(keyConfig)
	a.headers.detach(config.value)
	c.arguments = a
	inner.inherit(&c.headerSet)
	c.headerSet = inner
	return ctx
}

// HeadersFromContext returns the headers that [WithHeaders], [WithMetadata] and
// [WithTrace] have set in ctx, merged. The caller may change the result.
func HeadersFromContext(ctx context.Context) Headers {
	c := callFrom(ctx)
	var chain []*arguments // innermost first
	for a := c.arguments; a != nil; a = a.outer {
		chain = append(chain, a)
	}
	var h Headers
	for _, a := range slices.Backward(chain) {
		h.merge(&a.headers)
	}
	// WithTrace and WithMetadata set these as well.
	h.TraceID, h.Metadata = c.traceID, nil
	delete(h.Extra, keyTraceID)
	delete(h.Extra, keyMetadata)
	if len(c.metadata) > 0 {
		h.Metadata = make(Metadata, len(c.metadata))
		for _, p := range c.metadata {
			h.Metadata[p.key] = p.value
		}
	}
	return h
}

// WithResponseInfo returns a context with which the Transport stores in *info what the
// gateway reports in its response headers, because some clients do not expose them.
// *info is set before RoundTrip returns, at each attempt of a client that retries, and
// to zero if the attempt had no response. It is not changed if the request is refused
// or does not go to the gateway. Concurrent calls need one info each. A nil info
// disables the one of ctx.
func WithResponseInfo(ctx context.Context, info *ResponseInfo) context.Context {
	ctx, c := derive(ctx)
	c.info = info
	return ctx
}

// A call holds the values of all With functions up to a context, so that one
// lookup finds them. It is immutable once the With function that made it returns.
type call struct {
	headerSet
	arguments *arguments // for HeadersFromContext
	info      *ResponseInfo
	err       error // of the first value that cannot be sent
}

// arguments is a linked list of copies of the arguments of WithHeaders, innermost
// first.
type arguments struct {
	headers Headers
	outer   *arguments
}

// A callContext is a context with a call. The call is behind a pointer for the same
// reason as the settings of a Transport.
type callContext struct {
	context.Context
	call *call
}

type callKey struct{}

var noCall call

func callFrom(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &noCall
}

// derive returns a context with a copy of ctx's call, which the caller may change.
func derive(ctx context.Context) (context.Context, *call) {
	both := new(struct { // one allocation
		ctx  callContext
		call call
	})
	both.call = *callFrom(ctx)
	both.ctx = callContext{ctx, &both.call}
	return &both.ctx, &both.call
}

// recordResponse sets the caller's ResponseInfo, if there is one. resp is nil if the
// base returned no response.
func (c *call) recordResponse(resp *http.Response, failedOpen bool) {
	if c.info == nil {
		return
	}
	*c.info = ResponseInfo{FailedOpen: failedOpen}
	if resp == nil {
		return
	}
	if !failedOpen {
		*c.info = ParseResponse(resp.Header)
	}
	c.info.StatusCode = resp.StatusCode
}

// fail makes the calls with this context fail with err. The first err counts.
func (c *call) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *callContext) Value(key any) any {
	if key == (callKey{}) {
		return c.call
	}
	return c.Context.Value(key)
}

// Format prints the parent context and no headers. It prints consecutive contexts of
// this package as one: each would copy the text of all its parents.
func (c *callContext) Format(s fmt.State, _ rune) {
	parent := c.Context
	for {
		p, ok := parent.(*callContext)
		if !ok {
			break
		}
		parent = p.Context
	}
	format := "%T.WithPortkey"
	if _, ok := parent.(fmt.Stringer); ok {
		format = "%v.WithPortkey"
	}
	fmt.Fprintf(s, format, parent)
}

// newTraceID returns a random UUID, like uuid.NewString, with one allocation instead
// of three.
func newTraceID(context.Context) string {
	var id uuid.UUID
	rand.Read(id[:])          // never fails
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // RFC 9562 variant
	return id.String()
}
