//! Instructions worth trying, in hexadecimal.

/// By topic. `??` stands for any byte, `@@` for a ModRM byte that mostly names memory or registers
/// that are set up.
#[rustfmt::skip]
const TOPICS: &[&str] = &[
    // Descriptor tables, system registers.
    "0f00@@ 0f01@@ 0f01d0 0f01d1 0f01f8 0f01f9 0f01c8 0f01ca 0f01cb 0f0133 0f013b 0f013f 0f02@@ \
     0f03@@ 0f05 480f07 0f07 0f06 0f08 0f09 0f0b 0fff@@ 0fb9@@ 0f20@@ 0f22@@ 0f21@@ 0f23@@ 0f30 \
     0f31 0f32 0f33 0f34 0f35 480f35 0fa2 0faa 660f3882@@ f30faed0 f30fae@@ b9????00c00f32 \
     b9????00c00f30 b91b0000000f30 b9??0800000f30 b9??0800000f32",
    // Segments and far transfers.
    "8e@@ 8ed0 668ed0 8ee0 8ee8 8cd8 8c@@ 0fa1 0fa9 0fb2@@ 0fb4@@ 0fb5@@ 17 1f 07 c4@@ c5@@ \
     ff1c24 48ff1c24 ff2c24 48ff2c24 cb 48cb 66cb ca??00 9a????????0800 ea????????4000 cf 48cf \
     66cf 6a2b6a236a02 ff27 ff17 66ff27 66c3 66e8???? c3 c2??00 f2c3 3ec3",
    // Events.
    "cd?? cd80 cc ce f1 f4 fa fb fb90 9c 9d 669c 669d 48c704240?0?0?0?9d 810c24000100009d \
     810c24000001009d 810c24000004009d 810c24004000009d 8ed090 8ed0cc 9b d6 f390 0f01c8 0f01c9",
    // Ports.
    "e4?? e5?? e6?? e7?? ec ed ee ef 66ed 66baf803 66baf803ee 6c 6d 6e 6f f36c f36d f36e f26f \
     67f36e 66f36d 48f36d",
    // Strings.
    "f3a4 48f3a5 f348a5 f3aa f348ab f3a6 f2a7 f2ae f3af f3ac 67f3a4 66f3ab 64f3a4 fcf3a4 fdf3a4 \
     b9??000000f3a4 b9??000000f348ab a4 48a5 aa 48ab a6 ae ac b9????0000f3aa",
    // Atomic, wide and odd accesses.
    "f0480fb10f f00fc70f 480fc70f f0480fc70f f0ff07 f090 f00f0b f001@@ f04829@@ f0809707?? \
     f081@@???????? f083@@?? f0480fba2f?? f00fba37?? f0480fab07 f08607 f0fe07 f0f717 f0f61f \
     f0480fc10f f00fb00f f04887@@ f0c3 87@@ 4887@@ 0fc1@@ f00fc1@@ 480fab07 480fb3@@ 0fba@@?? \
     0fb0@@ c8??00?? c8????1f c9 8f@@ ff@@ fe@@ 62@@?????? d7 a0???????????????? \
     48a3???????????????? 0fae07 0fae0f 480fae07 480fae0f 480fae27 480fae2f 0fc727 480fc727 \
     0fc71f 0fc72f 31c9b8070000000f01d1 31c9b8030000000f01d1 0fae17 0fae1f 0fae2f 0fae27 0fae37 \
     0fae3f 0faee8 0fc7@@ 0fc7f0 480fc7f8 0f18@@ 0f0d@@ 0fc3@@ 0f38f0@@ f20f38f0@@ 0f38f6@@ \
     0f1f@@ f30f1efa 0f1a@@",
    // Arithmetic.
    "f7@@ 48f7@@ f6@@ 48f7f1 d1@@ c1@@?? 48d3@@ c0@@?? 0f9?@@ 0f4?@@ 0fa4@@?? 0fad@@ 48990? 37 \
     3f 27 2f d4?? d5?? 62???? 63@@",
    // x87, MMX, SSE, BMI.
    "d8@@ d9@@ da@@ db@@ dc@@ dd@@ de@@ df@@ dbe3 d9ee d9e8 d9fe dd37 dd27 d927 d937 db2f db3f \
     df3f 9bd9@@ 0f10@@ 0f11@@ 0f28@@ 0f29@@ 0f2b@@ 660f6f@@ 660f7f@@ f30f6f@@ f30f7f@@ 0f6f@@ \
     0f7f@@ 0f77 660f??@@ f20f??@@ f30f??@@ 0f??@@ 0f38??@@ 660f38??@@ 660f3a??@@?? 0ff7@@ \
     660ff7@@ 0f50@@ c5f877 c4e2????@@ c4e3????@@?? 660f6c@@ 0f5?@@",
    // Branches, into themselves and others too.
    "eb?? ebfe 7??? 74fe 75fe e2?? e2fe 67e2?? e3?? e8????0000 e8??ffffff e8fbffffff e9????0000 \
     e9??ffffff 0f8?????0000 ebff e8f6ffffff",
    // Self-modification.
    "8805????0000 8805??ffffff c605????000090 c605??ffffff?? c60501000000cc \
     48c705????0000???????? c60424?? fe05????0000 fe05faffffff ff05faffffff 48ff05??ffffff \
     c605faffffff?? f3aa90 4889070f01f8",
    // The stack, addresses.
    "50 58 54 5c 60 61 68???????? 6a?? ff34?? 48ff3424 488b24?? 4889e? 488d@@ 67@@?? 89@@ \
     488b@@ 8b@@ a1???????? 48bc????????????????",
    // Prefixes.
    "66666666666666666666666666660f0b 2e2e2e2e2e2e2e2e2e2e2e2e2e2e90 6667f0f2f3264890 f2f290 \
     4890 4f0f05 6448cf f348cf 6690 660f05 f0cd80 2ecc 64ec 4d0f22d8 440f22c0",
    // Far returns into every kind of code segment.
    "6a40680060000048cb 6a48680060000048cb 6a58680060000048cb 6a0868??60000048cb \
     6a2b68??60000048cb 6a2b68??60000048cf 6a236800d000009c6a1b68??60000048cf \
     6a236800d000009c6a5368??60000048cf 6a236800d000009c6a2b68??60000048cf \
     6a106800d000009c6a0868??60000048cf 6a106800d000009c6a4068??60000048cf \
     ff1d00000000eb0600a000007000",
    // Indirect branches to what registers hold.
    "ffe7 ffd7 ffe6 ffd6 ffd1 66ffe7 4889fcc3 4889f4cf",
    // INVPCID, CR3 with and without its flush.
    "31c0660f388207 b801000000660f388207 b802000000660f388207 b803000000660f388207 0f20d80f22d8 \
     0f20d8480fbae83f0f22d8 0f20d8480fbae8000f22d8 0f20e0480fbaf8110f22e0 \
     0f20e0480fbaf8070f22e0 0f20e0480fbaf8150f22e0 0f20e0480fbaf8140f22e0 \
     0f20e0480fbaf8160f22e0 0f20e0480fbaf8090f22e0 0f20c0480fbaf8100f22c0 \
     0f20c0480fbaf8030f22c0 0f20c0480fbaf8020f22c0 0f013f0f013e",
    // Page tables change behind what is cached.
    "480fba3cc5003001000? 48813425??300100??000000 80342508300100??",
    // TF on, off, and through.
    "9c814c2400000100009d 9c804c2401019d 9c804c2401019d8ed090 9c806424fe009d 66f3 f3f2a4 f2f3a4 \
     672e36a4",
];

/// All of them, in the table's order.
pub fn all() -> Vec<&'static str> {
    TOPICS.iter().flat_map(|t| t.split_whitespace()).collect()
}
