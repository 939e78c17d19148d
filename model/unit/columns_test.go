package unit

import "testing"

func TestColumns(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "slow db": 7, "Überlast": 8, "e\u0301te\u0301": 3, "…█─": 3, "流量": 4, "한국": 4, "データ": 6, "ﾃﾞｰﾀ": 4, "ＡＢ": 4,
		"😀 ok": 5, "שלום": 4, "\x80": 1,
	} {
		if got := Columns(text); got != want {
			t.Errorf("%q takes %d columns, not %d", text, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for text, want := range map[string]string{"short": "short", "eleven long": "eleven l…", "流量過大": "流量過大", "流量過大だ": "流量過大…", "x流量過大だ": "x流量過…"} {
		got := Cut(text, 9)
		if got != want || Columns(got) > 9 {
			t.Errorf("%q is cut to %q, not %q", text, got, want)
		}
	}
	if got := Cut("abc", 0); got != "…" {
		t.Errorf("no room gives %q", got)
	}
}
