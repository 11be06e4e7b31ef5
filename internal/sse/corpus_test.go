package sse

import (
	"fmt"
	"strings"
)

const (
	chat      = "/v1/chat/completions"
	legacy    = "/v1/completions"
	messages  = "/v1/messages"
	responses = "/v1/responses"
)

// streams are event streams as providers and the gateway send them, and streams that
// have a marker where it does not count. Lines end in LF: the tests replace that.
var streams = []struct {
	name     string
	path     string
	complete bool
	stream   string
}{
	// OpenAI's chat completions and the providers that imitate them.
	{"chat", chat, true, chunk(`"choices":[{"index":0,"delta":{"content":"Rain"},"finish_reason":null}]`) + finished + done},
	{"chat, cut off", chat, false, chunk(`"choices":[{"index":0,"delta":{"content":"Rain"},"finish_reason":null}]`)},
	{"chat, only finish_reason", chat, true, finished},
	{"chat, only [DONE]", chat, true, chunk(`"choices":[{"delta":{"content":"Rain"}}]`) + done},
	{"chat, usage after finish_reason", chat, true, finished + chunk(`"choices":[],"usage":{"total_tokens":7}`) + done},
	{"chat, usage after finish_reason, no [DONE]", chat, true, finished + chunk(`"choices":[],"usage":{"total_tokens":7}`)},
	{"chat, empty finish_reason", chat, false, chunk(`"choices":[{"delta":{"content":"Rain"},"finish_reason":""}]`)},
	{"chat, empty finish_reason until the last chunk", chat, true,
		chunk(`"choices":[{"delta":{"content":"Rain"},"finish_reason":""}]`) + chunk(`"choices":[{"delta":{},"finish_reason":"eos"}]`)},
	{"chat, finish_reason before the delta", chat, true, chunk(`"choices":[{"finish_reason":"length","index":0,"delta":{"content":"."}}]`)},
	{"chat, second choice finishes", chat, true, chunk(`"choices":[{"index":0,"finish_reason":null},{"index":1,"finish_reason":"stop"}]`)},
	{"chat, second choice finishes, finish_reason first", chat, true, chunk(`"choices":[{"finish_reason":null,"index":0},{"finish_reason":"stop","index":1}]`)},
	{"chat, choices of several types", chat, true, chunk(`"choices":[{},"","x",[],null,{"finish_reason":"stop"}]`)},
	{"chat, first choice finishes", chat, true, chunk(`"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"finish_reason":null}]`)},
	{"chat, finish_reason of another type", chat, false, chunk(`"choices":[{"finish_reason":1},{"finish_reason":{"type":"stop"}},{"finish_reason":["stop"]},{"finish_reason":true}]`)},
	{"chat, finish_reason is an error's name", chat, true, chunk(`"choices":[{"delta":{},"finish_reason":"overloaded_error"}]`) + done},
	{"chat, event has a name", chat, false, "event: stop\n" + chunk(`"choices":[]`)},
	{"chat, no choices", chat, false, chunk(`"choices":[]`)},
	{"chat, choices of another type", chat, false, chunk(`"choices":{"finish_reason":"stop","x":[{}],"y":{"finish_reason":"stop"}}`) + chunk(`"choices":"stop"`) + chunk(`"choices":[["finish_reason","stop"]]`)},
	{"completions", legacy, true, chunk(`"choices":[{"text":"Rain","finish_reason":null}]`) + chunk(`"choices":[{"text":"","finish_reason":"stop"}]`) + done},
	{"completions, cut off", legacy, false, chunk(`"choices":[{"text":"Rain","finish_reason":null}]`)},

	// What the gateway adds, and errors in band.
	{"hook_results first", chat, true, hooks + finished + done},
	{"hook_results first, cut off", chat, false, hooks},
	{"hook_results after [DONE]", chat, true, finished + done + hooks},
	{"hook_results first, messages", messages, true, "event: hook_results\n" + hooks + messageStop},
	{"error", chat, false, chunk(`"choices":[{"delta":{"content":"Rain"}}]`) + `data: {"error":{"message":"The server had an error","type":"server_error"}}` + "\n\n"},
	{"error, then [DONE]", chat, true, `data: {"error":{"message":"The server had an error"}}` + "\n\n" + done},
	{"error, messages", messages, false, messageStart + "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n"},
	{"error, responses", responses, false, "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"response.failed\"}\n\n"},
	{"error, translated from google", chat, false, chunk(`"choices":[]`)},

	// Anthropic's messages.
	{"messages", messages, true, messageStart + ping + messageDelta + messageStop},
	{"messages, cut off", messages, false, messageStart + ping + messageDelta},
	{"messages, only pings", messages, false, ping + ping + ping},
	{"messages, marker only in the event's name", messages, true, "event: message_stop\ndata: {}\n\n"},
	{"messages, marker only in the data", messages, true, "data: {\"type\":\"message_stop\"}\n\n"},
	{"messages, name after the data", messages, true, "data: {}\nevent: message_stop\n\n"},
	{"messages, name is replaced", messages, false, "event: message_stop\nevent: other\ndata: {}\n\n"},
	{"messages, name is removed", messages, false, "event: message_stop\nevent\ndata: {}\n\n"},
	{"messages, name belongs to another event", messages, false, "event: message_stop\n\ndata: {}\n\n"},
	{"messages, name without data", messages, false, "event: message_stop\n\n"},
	{"messages, name without data after an event", messages, false, messageDelta + "event: message_stop\n\n"},
	{"messages, name with empty data", messages, false, "event: message_stop\ndata:\n\n"},
	{"messages, name with an array", messages, false, "event: message_stop\ndata: [{}]\n\n"},
	{"messages, longer name", messages, false, "event: message_stopped\ndata: {\"type\":\"message_stopped\"}\n\n"},
	{"messages, shorter name", messages, false, "event: message_sto\ndata: {\"type\":\"message_sto\"}\n\n"},
	{"messages, type of another type", messages, false, `data: {"type":["message_stop"]}` + "\n\n" + `data: {"type":{"type":"message_stop"}}` + "\n\n"},
	{"messages, [DONE] is no end", messages, false, messageDelta + done},

	// OpenAI's responses.
	{"responses, completed", responses, true, created + event("response.completed", `"response":{"status":"completed","output":[{"type":"message"}]}`)},
	{"responses, incomplete", responses, true, created + event("response.incomplete", `"response":{"status":"incomplete"}`)},
	{"responses, failed", responses, true, created + event("response.failed", `"response":{"status":"failed","error":{"code":"server_error"}}`)},
	{"responses, cut off", responses, false, created + event("response.output_text.done", `"text":"Rain"`) + event("response.output_item.done", `"item":{"type":"message"}`)},
	{"responses, keepalive", responses, false, created + "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":3}\n\n"},
	{"responses, marker only in the data", responses, true, "data: {\"sequence_number\":9,\"response\":{\"type\":\"x\"},\"type\":\"response.completed\"}\n\n"},
	{"responses, messages' marker", responses, false, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},

	// Markers that a model wrote, or that are nested.
	{"[DONE] in content", chat, false, chunk(`"choices":[{"delta":{"content":"It ends with data: [DONE] and [DONE]"}}]`)},
	{"[DONE] on a line of content", chat, false, chunk(`"choices":[{"delta":{"content":"\n\ndata: [DONE]\n\n"}}]`)},
	{"[DONE] starts the content", chat, false, chunk(`"choices":[{"delta":{"content":"[DONE]"}}]`)},
	{"[DONE] in another field", chat, false, ": data: [DONE]\nid: [DONE]\nevent: [DONE]\ndatas: [DONE]\n data: [DONE]\nDATA: [DONE]\n[DONE]\ndata [DONE]\n\n"},
	{"[DONE] misspelled", chat, false, "data: [DONE\n\ndata: [done]\n\ndata: DONE\n\ndata: \"[DONE]\"\n\ndata: [[DONE]]\n\ndata: [D ONE]\n\ndata: [DONE\ndata: ]\n\n"},
	{"finish_reason in content", chat, false, chunk(`"choices":[{"delta":{"content":"\"choices\":[{\"finish_reason\":\"stop\"}]"}}]`)},
	{"finish_reason in tool arguments", chat, false, chunk(`"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{\"finish_reason\": \"stop\"}"}}]}}]`)},
	{"finish_reason below delta", chat, false, chunk(`"choices":[{"delta":{"finish_reason":"stop","x":{"finish_reason":"stop"}},"finish_reason":null}]`)},
	{"finish_reason in another member", chat, false, chunk(`"finish_reason":"stop","x":[{"finish_reason":"stop"}],"y":{"choices":[{"finish_reason":"stop"}]},"choices":[{"x":[{"finish_reason":"stop"}]}]`)},
	{"finish_reason one array too deep", chat, false, chunk(`"choices":[[{"finish_reason":"stop"}]]`)},
	{"finish_reason one array too high", chat, false, "data: [{\"choices\":[{\"finish_reason\":\"stop\"}]}]\n\n"},
	{"finish_reason as a value", chat, false, chunk(`"choices":[{"x":"finish_reason","y":"stop"},"finish_reason","stop"]`)},
	{"finish_reason after a backslash", chat, true, chunk(`"choices":[{"delta":{"content":"C:\\"},"finish_reason":"stop"}]`)},
	{"finish_reason after brackets in content", chat, true, chunk(`"choices":[{"delta":{"content":"}]}{[\"{\\\"["},"finish_reason":"stop"}]`)},
	{"message_stop in tool input", messages, false, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"input\":{\"type\":\"message_stop\"}}}\n\n"},
	{"message_stop in content", messages, false, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"event: message_stop\\ndata: {\\\"type\\\":\\\"message_stop\\\"}\\n\\n\"}}\n\n"},
	{"message_stop in a comment", messages, false, ": event: message_stop\n:event: message_stop\ndata: {}\n\n"},
	{"response.completed in an item", responses, false, event("response.output_item.done", `"item":{"type":"response.completed","arguments":"response.completed"}`)},
	{"deep nesting", chat, true, chunk(`"x":` + nested(5) + `,"choices":[{"delta":` + nested(5) + `,"finish_reason":"stop"}]`)},
	{"deep nesting, cut off", chat, false, chunk(`"x":` + nested(5) + `,"choices":[{"delta":` + nested(5) + `}]`)},
	{"long strings", chat, true, chunk(`"` + strings.Repeat("k", 120) + `":"` + strings.Repeat("v", 120) + `","choices":[{"finish_reason":"` + strings.Repeat("r", 120) + `"}]`)},
	{"long names", messages, false, strings.Repeat("data", 30) + ": {}\nevent: " + strings.Repeat("message_stop", 10) + "\ndata: {\"type\":\"" + strings.Repeat("message_stop", 10) + "\"}\n\n"},

	// What JSON and the format of event streams allow.
	{"white space in JSON", chat, true, "data: \t{ \"choices\" :\t[ { \"finish_reason\" : \"stop\" } ] } \n\n"},
	{"white space in JSON, messages", messages, true, "event: x\ndata: { \"type\" : \"message_stop\" }\n\n"},
	{"escapes in JSON", messages, true, `data: {"\u0074ype":"message\u005fstop"}` + "\n\n"},
	{"every character is escaped", responses, true, "data: {\"type\":\"" + escape("response.incomplete") + "\"}\n\n"},
	{"one escape too many", responses, false, "data: {\"type\":\"" + escape("response.incompletes") + "\"}\n\n"},
	{"escapes that Go does not have", chat, true, chunk(`"\/":"\/","choices":[{"\ud83d\ude00":1,"finish_reason":"\/"}]`)},
	{"member occurs twice", messages, true, `data: {"type":"message_stop","type":"other"}` + "\n\n"},
	{"data on several lines", chat, true, "data: {\"choices\":\ndata: [{\"finish_reason\"\ndata:\ndata\ndata: :\"stop\"}]}\n\n"},
	{"data on several lines, messages", messages, true, "data: {\nid: 7\nevent: message_stop\ndata: }\n\n"},
	{"no space after the colon", chat, true, "data:{\"choices\":[]}\n\ndata:[DONE]\n\n"},
	{"no space after the colon, messages", messages, true, "event:message_stop\ndata:{}\n\n"},
	{"two spaces after the colon", chat, true, "data:  [DONE]\n\n"},
	{"two spaces before the event's name", messages, false, "event:  message_stop\ndata: {}\n\n"},
	{"no blank line after [DONE]", chat, true, "data: [DONE]"},
	{"no blank line between data lines", chat, true, "data: {\"choices\":[]}\ndata: [DONE]\n"},
	{"no blank line after finish_reason", chat, false, "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n"},
	{"no blank line after message_stop", messages, false, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n"},
	{"comments", chat, true, ": PROCESSING\n\n:\n" + finished + ":\n\n: keep-alive\n\n" + done + ": bye\n\n"},
	{"only comments", chat, false, ": keep-alive\n\n: keep-alive\n\n"},
	{"other fields", chat, true, "id: 1\nretry: 3000\nfoo: bar\nfoo\n" + finished},
	{"byte order mark in a later line", chat, false, "\n\ufeffdata: [DONE]\n\n"},
	{"invalid JSON first", chat, true, "data: {\"choices\":[{\"x\n\n" + finished},
	{"empty lines first", chat, true, "\n\n\n" + finished},
	{"empty", chat, false, ""},
}

const (
	finished     = `data: {"id":"c-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}` + "\n\n"
	done         = "data: [DONE]\n\n"
	hooks        = `data: {"hook_results":{"before_request_hooks":[{"verdict":true,"checks":[]}]}}` + "\n\n"
	messageStart = "event: message_start\n" + `data: {"type":"message_start","message":{"id":"m-1","type":"message","stop_reason":null}}` + "\n\n"
	messageDelta = "event: message_delta\n" + `data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}` + "\n\n"
	messageStop  = "event: message_stop\n" + `data: {"type":"message_stop"}` + "\n\n"
	ping         = "event: ping\n" + `data: {"type": "ping"}` + "\n\n"
	created      = "event: response.created\n" + `data: {"type":"response.created","response":{"status":"in_progress"}}` + "\n\n"
)

// chunk returns an event of a chat completion with further members.
func chunk(members string) string {
	return `data: {"id":"c-1","object":"chat.completion.chunk","created":1700000000,"model":"m",` + members + "}\n\n"
}

// event returns an event that has its name in its data as well, with further members.
func event(name, members string) string {
	return "event: " + name + "\ndata: {\"type\":\"" + name + "\"," + members + "}\n\n"
}

// nested returns JSON with brackets to a depth of 2n, and a marker at each level.
func nested(n int) string {
	return strings.Repeat(`{"finish_reason":"stop","choices":[`, n) + strings.Repeat("]}", n)
}

// escape returns s with each character escaped as in JSON.
func escape(s string) string {
	var b strings.Builder
	for _, c := range s {
		fmt.Fprintf(&b, `\u%04X`, c)
	}
	return b.String()
}
